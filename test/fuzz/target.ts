/** What a target is: cases, which are plain JSON so that any of them can be kept in the corpus, and a way to play one. */
import type { EventEmitter } from 'node:events'
import type fc from 'fast-check'

/** The node under fuzz, as its tormentors see it. */
export interface Subject {
  readonly port: number
  readonly grpcPort: number
  /** Asks the process of the node, for what no socket carries. Rejects where it fails, or does not answer in time. */
  call (name: string, argument?: unknown): Promise<unknown>
}

export interface Target<Case> {
  readonly cases: fc.Arbitrary<Case>
  /** Rejects where the node did not do what it always has to: answer, let go of a socket. */
  play (subject: Subject, one: Case): Promise<void>
}

/** The longest that anything may take: all deadlines of the node under fuzz are shorter. */
const PATIENCE_MS = 20_000

/** Rejects where the promise takes longer than any deadline of the node. */
export async function within<T> (promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((resolve, reject) => { timer = setTimeout(() => { reject(new Error(`${what} did not come in ${PATIENCE_MS} ms`)) }, PATIENCE_MS) })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Resolves once it is closed, with an error or without. */
export function closing (stream: EventEmitter): Promise<void> {
  return new Promise((resolve) => { stream.once('close', resolve) })
}
