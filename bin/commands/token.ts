/** `im-gateway token`: tokens for development, made with a key that is given for it, and a look into any. */
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import jwt, { type FastifyJWTOptions } from '@fastify/jwt'
import fastify from 'fastify'
import { localCheck, MIN_SECRET_BYTES, type KeyOptions } from '../../plugins/lib/local-check.ts'
import { algorithmOf } from '../../plugins/lib/key-algorithm.ts'
import { parseEnvironment, type Environment } from '../../src/config/parse.ts'
import { machineProbe } from '../../src/config/probe.ts'
import { parseDuration } from '../../src/config/units.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { ID_PATTERN, PARTY_PATTERN } from '../../src/protocol/frames.ts'
import { json, printable, runCommand, time } from '../command-line.ts'
import type { Io } from '../dispatch.ts'
import { CommandError, EXIT_CONFIG, EXIT_NO, EXIT_OK } from '../exit-codes.ts'

const USAGE = `Usage: im-gateway token mint [OPTION...] USER
       im-gateway token inspect [OPTION...] [TOKEN]

mint: a token for development. It is signed with JWT_SECRET, or with the private key of --key-file, and with nothing else:
without either it is refused. JWT_ISSUER and JWT_AUDIENCE become its iss and aud.
inspect: header, claims and expiry of a token, from standard input where none is given. With JWT_SECRET, JWT_PUBLIC_KEY or
JWKS_URL in the environment its signature is checked as the gateway does; without a key it is not.

  --device ID     bound to this device
  --ttl TIME      1h for instance; default 1h
  --key-file PATH private key in PEM: RSA, P-256 or Ed25519
  --json          the answer as JSON
  --help          this text
`

const TIMES = ['exp', 'iat', 'nbf'] as const

type Claims = Readonly<Record<string, unknown>>
interface Values { readonly json?: boolean | undefined, readonly device?: string | undefined, readonly ttl: string, readonly 'key-file'?: string | undefined }
type Settings = ReturnType<typeof settingsFrom>

/** Resolves to the exit code: 1 where a token has expired or does not pass its check. `input`: where `inspect` reads a token. */
export async function tokenCommand (args: readonly string[], io: Io, env: Environment = process.env, input: NodeJS.ReadableStream = process.stdin): Promise<number> {
  return await runCommand({
    usage: USAGE,
    options: { device: { type: 'string' }, ttl: { type: 'string', default: '1h' }, 'key-file': { type: 'string' } },
    words: [1, 2],
    run: async (values, [what, word]) => {
      const settings = settingsFrom(env)
      if (what === 'mint' && word !== undefined) return await mint(word, values, settings, io)
      if (what === 'inspect') return await inspect((word ?? await text(input)).trim(), values.json === true, settings, io)
      throw new RangeError(what === 'mint' ? 'for whom? USER is missing' : `there is no token ${what ?? ''}`)
    }
  }, args, io)
}

/** Throws a CommandError for a faulty variable that counts here. */
function settingsFrom (env: Environment) {
  const { values, faults } = parseEnvironment(env, (path) => machineProbe.readFile(path))
  const fault = faults.find(({ names }) => names.some((name) => /^J(?:WT|WKS)_/.test(name)))
  if (fault !== undefined) throw new CommandError(EXIT_CONFIG, `${fault.names.join(', ')}: ${fault.text}`)
  return values
}

async function mint (user: string, values: Values, { JWT_SECRET: secret, JWT_ISSUER: iss, JWT_AUDIENCE: aud }: Settings, io: Io): Promise<number> {
  const { device, ttl, 'key-file': keyFile } = values
  const ttlMs = parseDuration(ttl)
  if (ttlMs === undefined || ttlMs < 1000) throw new RangeError('--ttl is a duration like 30s, 5m or 1h')
  if (!new RegExp(PARTY_PATTERN, 'u').test(user)) throw new RangeError('USER has 1-128 characters, none of them a control character')
  if (device !== undefined && !new RegExp(ID_PATTERN, 'u').test(device)) throw new RangeError('--device has 1-64 characters of A-Za-z0-9._:-')
  const app = fastify()
  await app.register(jwt, keyFile === undefined ? ownSecret(secret) : privateKey(keyFile))
  const iat = Math.floor(Date.now() / 1000)
  const claims = { sub: user, ...(device !== undefined && { device_id: device }), ...(iss !== undefined && { iss }), ...(aud !== undefined && { aud }), iat, exp: iat + Math.floor(ttlMs / 1000) }
  const token = app.jwt.sign(claims)
  io.out(values.json === true ? json({ token, claims }) : `${token}\n`)
  return EXIT_OK
}

function ownSecret (secret: string | undefined): FastifyJWTOptions {
  if (secret === undefined) throw new CommandError(EXIT_CONFIG, 'no key to sign with: give JWT_SECRET or JWT_SECRET_FILE of a development environment, or --key-file')
  if (Buffer.byteLength(secret) < MIN_SECRET_BYTES) throw new CommandError(EXIT_CONFIG, `JWT_SECRET: has to be at least ${MIN_SECRET_BYTES} bytes`)
  return { secret, sign: { algorithm: 'HS256' } }
}

function privateKey (path: string): FastifyJWTOptions {
  try {
    const pem = readFileSync(path, 'utf8')
    const publicKey = createPublicKey(createPrivateKey(pem))
    return { secret: { private: pem, public: publicKey.export({ type: 'spki', format: 'pem' }).toString() }, sign: { algorithm: algorithmOf(publicKey) } }
  } catch (error) {
    throw new CommandError(EXIT_CONFIG, `${path}: ${(error as Error).message}`)
  }
}

async function inspect (token: string, asJson: boolean, settings: Settings, io: Io): Promise<number> {
  const { header, payload } = await decoded(token)
  const keys: KeyOptions = { secret: settings.JWT_SECRET, previousSecret: settings.JWT_SECRET_PREVIOUS, publicKey: settings.JWT_PUBLIC_KEY, jwksUrl: settings.JWKS_URL, jwksTimeoutMs: settings.JWKS_TIMEOUT }
  const app = fastify()
  const verdict = await (await localCheck(app, keys, systemClock))?.(token)
  const signature = verdict === undefined ? 'not checked: no key is given' : verdict.ok ? 'valid' : verdict.code
  const { exp } = payload
  const leftMs = typeof exp === 'number' ? exp * 1000 - Date.now() : undefined
  const isExpired = leftMs !== undefined && leftMs <= 0
  const expiry = leftMs === undefined ? 'there is no exp: the gateway refuses it' : isExpired ? `expired ${Math.round(-leftMs / 1000)} s ago` : `in ${Math.round(leftMs / 1000)} s`
  if (asJson) io.out(json({ header, claims: payload, expired: isExpired, checked: verdict !== undefined, signature }))
  else io.out(`header     ${printable(JSON.stringify(header))}\n${Object.entries(payload).map(([name, value]) => `${printable(`${name.padEnd(10)} ${JSON.stringify(value)}${timeOf(name, value)}`)}\n`).join('')}expiry     ${expiry}\nsignature  ${signature}\n`)
  return isExpired || leftMs === undefined || verdict?.ok === false ? EXIT_NO : EXIT_OK
}

function timeOf (name: string, value: unknown): string {
  return TIMES.some((each) => each === name) && typeof value === 'number' && Math.abs(value) < 1e12 ? `  ${time(value * 1000)}` : ''
}

/** Throws a RangeError for what is no token. */
async function decoded (token: string): Promise<{ readonly header: Claims, readonly payload: Claims }> {
  const app = fastify()
  // It decodes without a key, and is not registered without one.
  await app.register(jwt, { secret: () => { throw new Error('nothing is checked with this') }, decode: { complete: true } })
  const whole = (() => {
    try {
      return app.jwt.decode<{ readonly header: Claims, readonly payload: unknown }>(token)
    } catch {
      return null
    }
  })()
  if (whole === null || typeof whole.payload !== 'object' || whole.payload === null) throw new RangeError('that is no token: it has three parts, the first two JSON')
  return { header: whole.header, payload: whole.payload as Claims }
}
