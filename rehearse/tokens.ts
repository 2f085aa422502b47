/** Tokens for the virtual clients: signed here, or asked of a command. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { createSigner } from 'fast-jwt'

export type TokenSource = (user: string, device: string) => string | Promise<string>

const LIFE_MS = 3_600_000
const COMMAND_TIMEOUT_MS = 10_000
/** Commands that run at a time; a storm asks for everybody's token at once. */
const MAX_COMMANDS = 8
/** A token is used again until so much of its life has gone. */
const USED_FOR = 0.5
/** Of a token that does not say when it ends. */
const OPAQUE_LIFE_MS = 60_000

/** What may travel as a subprotocol. */
const TOKEN = /^[\w.~+/=-]+$/

const run = promisify(execFile)

interface Kept { readonly token: Promise<string>, untilMs: number }

/** HS256, an hour long each; `claims` are added to the user as `sub` and `user_id`, and to `device_id`. Throws where the secret is shorter than 32 bytes. */
export function signedTokens (secret: string, claims: Readonly<Record<string, unknown>>): TokenSource {
  if (Buffer.byteLength(secret) < 32) throw new Error('the secret is shorter than 32 bytes')
  const sign = createSigner({ key: secret, algorithm: 'HS256', expiresIn: LIFE_MS })
  return (user, device) => sign({ ...claims, sub: user, user_id: user, device_id: device })
}

/** What the shell command prints for the arguments USER and DEVICE; rejects where it fails or takes longer than 10 s. */
export function commandTokens (command: string, unixMs: () => number): TokenSource {
  const kept = new Map<string, Kept>()
  const waiting: Array<() => void> = []
  let running = 0
  const ask = async (user: string, device: string): Promise<string> => {
    if (running >= MAX_COMMANDS) await new Promise<void>((resolve) => { waiting.push(resolve) })
    running++
    try {
      const { stdout } = await run('/bin/sh', ['-c', `${command} "$@"`, 'token', user, device], { timeout: COMMAND_TIMEOUT_MS })
      const token = stdout.trim()
      if (!TOKEN.test(token)) throw new Error('the token command printed no token')
      return token
    } finally {
      running--
      waiting.shift()?.()
    }
  }
  return async (user, device) => {
    const key = `${user} ${device}`
    const now = unixMs()
    const earlier = kept.get(key)
    if (earlier !== undefined && now < earlier.untilMs) return await earlier.token
    const entry: Kept = { token: ask(user, device), untilMs: Infinity }
    kept.set(key, entry)
    try {
      const token = await entry.token
      entry.untilMs = now + lifeOf(token, now) * USED_FOR
      return token
    } catch (error) {
      kept.delete(key)
      throw error
    }
  }
}

function lifeOf (token: string, now: number): number {
  try {
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { exp?: unknown }
    return typeof exp === 'number' ? exp * 1_000 - now : OPAQUE_LIFE_MS
  } catch {
    return OPAQUE_LIFE_MS
  }
}
