/** One upgrade, to see how it is answered; a socket that was let in ends at once. */
import WebSocket from 'ws'
import { SUBPROTOCOL } from '../../../src/protocol/subprotocol.ts'

export interface Answer {
  /** 101: let in. */
  readonly status: number
  /** Retry-After, in seconds; undefined: there is none. */
  readonly retryAfterS: number | undefined
  readonly tookMs: number
}

const TIMEOUT_MS = 10_000

/** Rejects where the socket ends without an answer. */
export function knock (url: string, token: string): Promise<Answer> {
  const startedMs = performance.now()
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, SUBPROTOCOL, { headers: { authorization: `Bearer ${token}` }, handshakeTimeout: TIMEOUT_MS })
    const answered = (status: number, retryAfter?: string): void => {
      resolve({ status, retryAfterS: retryAfter === undefined ? undefined : Number(retryAfter), tookMs: performance.now() - startedMs })
      socket.terminate()
    }
    socket.once('open', () => { answered(101) })
    socket.once('unexpected-response', (_request, response) => { answered(response.statusCode ?? 0, response.headers['retry-after']) })
    socket.on('error', reject)
  })
}

/** So many, one after the other, each of a user of its own. */
export async function knocks (count: number, url: string, tokenOf: (i: number) => string): Promise<Answer[]> {
  const answers: Answer[] = []
  for (let i = 0; i < count; i++) answers.push(await knock(url, tokenOf(i)))
  return answers
}

/** The time that this share of the answers did not pass, rounded up to milliseconds. */
export function quantileMs (answers: ReadonlyArray<Pick<Answer, 'tookMs'>>, share: number): number {
  const times = answers.map(({ tookMs }) => tookMs).sort((a, b) => a - b)
  return Math.ceil(times[Math.min(times.length - 1, Math.ceil(times.length * share) - 1)] ?? 0)
}
