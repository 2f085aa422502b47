/** Checks of keys, certificates and passwords. */
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import { isLoopback } from './addresses.ts'
import type { CheckInput, Report } from './checks.ts'
import type { Values, VariableName } from './table.ts'

const HS256_MIN_BYTES = 32
const RSA_MIN_BITS = 2048

export function checkCredentials ({ values }: CheckInput, report: Report): void {
  checkTokenKeys(values, report)
  checkKeyPair(values, 'WS_TLS_CERT', 'WS_TLS_KEY', report)
  checkKeyPair(values, 'GRPC_TLS_CERT', 'GRPC_TLS_KEY', report)
  checkKeyPair(values, 'UPSTREAM_TLS_CERT', 'UPSTREAM_TLS_KEY', report)
  checkKeyPair(values, 'ETCD_TLS_CERT', 'ETCD_TLS_KEY', report)
  checkKeyPair(values, 'REDIS_TLS_CERT', 'REDIS_TLS_KEY', report)
  checkKeyPair(values, 'KAFKA_TLS_CERT', 'KAFKA_TLS_KEY', report)
  for (const name of ['GRPC_TLS_CA', 'UPSTREAM_TLS_CA', 'ETCD_TLS_CA', 'REDIS_TLS_CA', 'KAFKA_TLS_CA'] as const) {
    const pem = values[name]
    if (pem !== undefined && readCertificate(pem) === undefined) report([name], 'is not a certificate')
  }
  if (values.GRPC_TLS_CA !== undefined) {
    if (values.GRPC_TLS_CERT === undefined) report(['GRPC_TLS_CERT', 'GRPC_TLS_CA'], 'is required with GRPC_TLS_CA')
    // A certificate authority signs for many; without names any of its certificates would do.
    if (values.GRPC_TLS_ALLOWED_SANS.length === 0) report(['GRPC_TLS_ALLOWED_SANS', 'GRPC_TLS_CA'], 'is required with GRPC_TLS_CA')
  } else if (values.GRPC_TLS_ALLOWED_SANS.length > 0) {
    report(['GRPC_TLS_CA', 'GRPC_TLS_ALLOWED_SANS'], 'is required with GRPC_TLS_ALLOWED_SANS')
  }
  for (const client of ['UPSTREAM', 'REDIS', 'KAFKA'] as const) {
    const [on, cert] = [`${client}_TLS`, `${client}_TLS_CERT`] as const
    if (values[cert] !== undefined && !values[on] && values[`${client}_TLS_CA`] === undefined) report([on, cert], 'a client certificate needs TLS')
  }
  checkEtcd(values, report)
  const sasl = ['KAFKA_SASL_MECHANISM', 'KAFKA_SASL_USERNAME', 'KAFKA_SASL_PASSWORD'] as const
  const saslGiven = sasl.filter((name) => values[name] !== undefined).length
  if (saslGiven > 0 && saslGiven < sasl.length) report(sasl, 'go together')
  if (values.GRPC_AUTH_TOKEN_PREVIOUS !== undefined && values.GRPC_AUTH_TOKEN === undefined) report(['GRPC_AUTH_TOKEN', 'GRPC_AUTH_TOKEN_PREVIOUS'], 'is required with GRPC_AUTH_TOKEN_PREVIOUS')
  if (values.REDIS_USERNAME !== undefined && values.REDIS_PASSWORD === undefined) report(['REDIS_PASSWORD', 'REDIS_USERNAME'], 'is required with REDIS_USERNAME')
}

function checkTokenKeys (values: Values, report: Report): void {
  const kinds = (['JWT_SECRET', 'JWT_PUBLIC_KEY', 'JWKS_URL'] as const).filter((name) => values[name] !== undefined)
  if (kinds.length > 1) report(kinds, 'exclude each other, give one')
  if (kinds.length === 0 && values.AUTH_MODE === 'local') report(['AUTH_MODE', 'JWT_SECRET', 'JWT_PUBLIC_KEY', 'JWKS_URL'], 'local needs a key: one of JWT_SECRET, JWT_PUBLIC_KEY, JWKS_URL')
  for (const name of ['JWT_SECRET', 'JWT_SECRET_PREVIOUS'] as const) {
    const secret = values[name]
    // RFC 7518 section 3.2: a key of the size of the hash or larger.
    if (secret !== undefined && Buffer.byteLength(secret) < HS256_MIN_BYTES) report([name], `has to be at least ${HS256_MIN_BYTES} bytes`)
  }
  if (values.JWT_SECRET_PREVIOUS !== undefined && values.JWT_SECRET === undefined) report(['JWT_SECRET', 'JWT_SECRET_PREVIOUS'], 'is required with JWT_SECRET_PREVIOUS')
  if (values.JWT_PUBLIC_KEY !== undefined) {
    const fault = publicKeyFault(values.JWT_PUBLIC_KEY)
    if (fault !== undefined) report(['JWT_PUBLIC_KEY'], fault)
  }
  if (values.JWKS_URL !== undefined) {
    const { protocol, hostname } = new URL(values.JWKS_URL)
    if (protocol !== 'https:' && !isLoopback(hostname.replace(/^\[|\]$/g, ''))) report(['JWKS_URL'], 'has to be https: whoever can change the keys on their way can sign tokens')
  }
}

function publicKeyFault (pem: string): string | undefined {
  if (pem.includes('PRIVATE KEY')) return 'is a private key; give the public one'
  let key
  try {
    key = createPublicKey(pem)
  } catch {
    return 'is not a public key'
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'rsa') return (details?.modulusLength ?? 0) < RSA_MIN_BITS ? `has to have at least ${RSA_MIN_BITS} bits` : undefined
  if (type === 'ec') return details?.namedCurve === 'prime256v1' ? undefined : 'has to be on the curve P-256'
  return type === 'ed25519' ? undefined : 'has to be RSA, P-256 or Ed25519'
}

type Peer = 'WS' | 'GRPC' | 'UPSTREAM' | 'ETCD' | 'REDIS' | 'KAFKA'

function checkKeyPair (values: Values, certName: `${Peer}_TLS_CERT`, keyName: `${Peer}_TLS_KEY`, report: Report): void {
  const cert = values[certName]
  const key = values[keyName]
  if (cert === undefined && key === undefined) return
  if (cert === undefined || key === undefined) {
    const [missing, there]: readonly VariableName[] = cert === undefined ? [certName, keyName] : [keyName, certName]
    report([missing as VariableName, there as VariableName], `is required with ${there}`)
    return
  }
  const certificate = readCertificate(cert)
  if (certificate === undefined) {
    report([certName], 'is not a certificate')
    return
  }
  try {
    if (!certificate.checkPrivateKey(createPrivateKey(key))) report([keyName, certName], 'is not the key of the certificate')
  } catch {
    report([keyName], 'is not a private key')
  }
}

/** undefined where the text is not a certificate. */
function readCertificate (pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem)
  } catch {
    return undefined
  }
}

function checkEtcd (values: Values, report: Report): void {
  if ((values.ETCD_USERNAME === undefined) !== (values.ETCD_PASSWORD === undefined)) report(['ETCD_USERNAME', 'ETCD_PASSWORD'], 'go together')
  const secure = values.ETCD_ENDPOINTS.filter((endpoint) => endpoint.startsWith('https:')).length
  if (secure > 0 && secure < values.ETCD_ENDPOINTS.length) report(['ETCD_ENDPOINTS'], 'are either all http or all https')
  const tls = (['ETCD_TLS_CA', 'ETCD_TLS_CERT'] as const).find((name) => values[name] !== undefined)
  if (tls !== undefined && secure === 0 && values.ETCD_ENDPOINTS.length > 0) report(['ETCD_ENDPOINTS', tls], `have to be https with ${tls}`)
}
