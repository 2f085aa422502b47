/** Who may call the gRPC server, and how this node shows other nodes who it is: mutual TLS, a shared bearer, or both. */
import type { PeerCertificate } from 'node:tls'
import { credentials, Metadata, ServerCredentials, type ChannelCredentials } from '@grpc/grpc-js'
import { SharedSecret } from '../../src/secrets.ts'

/** PEM texts. With `ca` every caller has to show a certificate that it signed and that carries one of `allowedSans`. */
export interface GrpcTlsOptions {
  readonly cert: string
  readonly key: string
  readonly ca?: string | undefined
  /** Subject alternative names of the IM Service and of the nodes: `host.example`, `spiffe://…`, an address. */
  readonly allowedSans: readonly string[]
}

export interface GrpcCredentials {
  readonly authToken?: string | undefined
  /** Accepted as well, and never shown. */
  readonly previousAuthToken?: string | undefined
  readonly tls?: GrpcTlsOptions | undefined
}

/** What a call shows of its caller. */
export interface Caller {
  readonly metadata: Metadata
  readonly certificate: Pick<PeerCertificate, 'subjectaltname'> | undefined
}

/** Whether callers have to prove who they are at all. */
export function areChecked ({ authToken, tls }: GrpcCredentials): boolean {
  return authToken !== undefined || tls?.ca !== undefined
}

/** A check of each call: of the bearer, and of the certificate's names, whichever is configured. */
export function callerCheck ({ authToken, previousAuthToken, tls }: GrpcCredentials): (caller: Caller) => boolean {
  const accepted = authToken === undefined ? undefined : [authToken, previousAuthToken ?? authToken].map((token) => new SharedSecret(token))
  const sans = tls?.ca === undefined ? undefined : new Set(tls.allowedSans)
  return ({ metadata, certificate }) => {
    if (sans !== undefined && !subjectAltNames(certificate?.subjectaltname).some((name) => sans.has(name))) return false
    if (accepted === undefined) return true
    const [header, ...others] = metadata.get('authorization')
    if (others.length > 0) return false
    // All are compared, so that the time does not tell which of them is close.
    return accepted.filter((secret) => secret.matchesBearer(header?.toString())).length > 0
  }
}

export function serverCredentials ({ tls }: GrpcCredentials): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure()
  const pair = { cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) }
  return ServerCredentials.createSsl(tls.ca === undefined ? null : Buffer.from(tls.ca), [pair], tls.ca !== undefined)
}

/** For calls to other nodes, which have the same settings. They are known by their allowed names, for they are called by address. */
export function peerCredentials ({ tls }: GrpcCredentials): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure()
  const { ca, key, cert, allowedSans } = tls
  if (ca === undefined) return credentials.createSsl()
  return credentials.createSsl(Buffer.from(ca), Buffer.from(key), Buffer.from(cert), {
    checkServerIdentity: (_host, certificate) => subjectAltNames(certificate.subjectaltname).some((name) => allowedSans.includes(name))
      ? undefined
      : new Error('the node shows a certificate without an allowed name')
  })
}

export function peerMetadata ({ authToken }: GrpcCredentials): Metadata {
  const metadata = new Metadata()
  if (authToken !== undefined) metadata.set('authorization', `Bearer ${authToken}`)
  return metadata
}

/** The names of `DNS:a.example, URI:spiffe://b, IP Address:10.0.0.1`. Node quotes names that could pass for more than one (CVE-2021-44532). */
export function subjectAltNames (text: string | undefined): string[] {
  const names: string[] = []
  for (const [, name = ''] of (text ?? '').matchAll(/(?:^|, )(?:DNS|URI|IP Address):("(?:[^"\\]|\\.)*"|[^,"]*)(?=, |$)/g)) {
    names.push(name.startsWith('"') ? JSON.parse(name) as string : name)
  }
  return names
}
