/** The side of a server that is measured which its bench talks to: a line in, a line out. And what all of them do alike. */
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { createInterface } from 'node:readline'
import { createVerifier } from 'fast-jwt'
import { SECRET } from '../lib/tokens.ts'

const SAMPLE_US = 200
const profiler = new Session()

/** By the first word of a line; the rest are the arguments. */
export type Commands = Readonly<Record<string, (...words: string[]) => unknown>>

export function control (port: number, commands: Commands): void {
  const all: Commands = {
    ...commands,
    profile: async () => {
      profiler.connect()
      await profiler.post('Profiler.enable')
      await profiler.post('Profiler.setSamplingInterval', { interval: SAMPLE_US })
      await profiler.post('Profiler.start')
    },
    /** Writes what was used since `profile` to a file that Chrome's developer tools open. */
    profiled: async (path = '') => {
      const { profile } = await profiler.post('Profiler.stop')
      writeFileSync(path, JSON.stringify(profile))
      profiler.disconnect()
    },
    /** What all messages from now on have in them, bytes. */
    content: (bytes) => { content = 'x'.repeat(Number(bytes)) },
    gc: () => {
      global.gc?.()
      global.gc?.()
    }
  }
  createInterface({ input: process.stdin }).on('line', (line) => {
    const [name = '', ...words] = line.split(' ')
    Promise.resolve(all[name]?.(...words)).then((value) => { process.stdout.write(`${JSON.stringify(value ?? null)}\n`) }, (error: unknown) => {
      process.stderr.write(`${String(error)}\n`)
      process.exit(1)
    })
  }).on('close', () => { process.exit() })
  process.stdout.write(`${JSON.stringify({ port })}\n`)
}

const verify = createVerifier({ key: SECRET, algorithms: ['HS256'] })

/** The user of a bearer token; undefined: refused. */
export function userOf (authorization: string | undefined): string | undefined {
  try {
    return (verify(authorization?.slice('Bearer '.length) ?? '') as { sub: string }).sub
  } catch {
    return undefined
  }
}

export const CONTENT = 'x'.repeat(200)
export const PING_INTERVAL_MS = 30_000
let content = CONTENT

/** A group message as a client of the gateway gets it; its time is monotonic, in microseconds. */
export function groupMessage (n: number): object {
  return {
    type: 'message', msg_id: `m${n}`, sender: 'u0', recipient: 'group', content, message_type: 'text', timestamp: monotonicUs(), sequence_number: n, ack_required: false
  }
}

/** The same as the gateway gets it. */
export function groupRecord (groupId: string, n: number): string {
  return JSON.stringify({ group_id: groupId, msg_id: `m${n}`, sender_id: 'u0', content, message_type: 'text', sequence_number: n, timestamp: monotonicUs() })
}

function monotonicUs (): number {
  return Number(process.hrtime.bigint() / 1000n)
}
