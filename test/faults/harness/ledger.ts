/** What every side of a run did, in the order in which it is told, in memory and as lines of JSON in .cache/faults/. */
import { createWriteStream, mkdirSync, type WriteStream } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'

/** All times are milliseconds of one monotonic clock. */
export type Entry = { readonly atMs: number } & (
  | { readonly kind: 'opened', readonly user: string, readonly device: string, readonly conn: string, readonly node: string }
  | { readonly kind: 'closed', readonly conn: string, readonly code: number }
  | { readonly kind: 'sent', readonly user: string, readonly msgId: string }
  | { readonly kind: 'acked', readonly user: string, readonly msgId: string, readonly sequence: number }
  | { readonly kind: 'error', readonly user: string, readonly msgId: string, readonly code: string, readonly retryable: boolean }
  | { readonly kind: 'received', readonly conn: string, readonly recipient: string, readonly msgId: string, readonly sequence: number }
  | { readonly kind: 'device_acked', readonly conn: string, readonly msgId: string }
  /** The IM Service answers OK; a repeat is told as well. */
  | { readonly kind: 'accepted', readonly user: string, readonly msgId: string, readonly conversation: string, readonly sequence: number }
  /** `devices` is undefined where the call failed. */
  | { readonly kind: 'pushed', readonly user: string, readonly msgId: string, readonly startedMs: number, readonly devices: ReadonlyArray<{ readonly device: string, readonly outcome: string }> | undefined }
  | { readonly kind: 'group', readonly group: string, readonly members: readonly string[] }
  /** The broker has it; `atMs` is when it was given to it. */
  | { readonly kind: 'produced', readonly group: string, readonly msgId: string, readonly sequence: number }
  /** Connections by `user device`, as etcd says. */
  | { readonly kind: 'registry', readonly routes: Readonly<Record<string, string>> }
  | { readonly kind: 'struck' }
  /** The fault is over: from here on the bounds of recovery count. */
  | { readonly kind: 'healed' }
  | { readonly kind: 'sample', readonly node: string, readonly pid: number, readonly fds: number, readonly waiting: number }
  | { readonly kind: 'exited', readonly node: string, readonly how: string, readonly expected: string }
  | { readonly kind: 'failure', readonly node: string, readonly line: string }
)
type WithoutTime<T> = T extends unknown ? Omit<T, 'atMs'> : never
export type Said = WithoutTime<Entry> & { readonly atMs?: number }

export const FOLDER = join(import.meta.dirname, '../../../.cache/faults')
mkdirSync(FOLDER, { recursive: true })

export class Ledger {
  readonly entries: Entry[] = []
  readonly path: string
  #file: WriteStream

  /** `name`: of the file. */
  constructor (name: string) {
    this.path = join(FOLDER, `${name}.jsonl`)
    this.#file = createWriteStream(this.path)
  }

  say (said: Said): void {
    const entry = { atMs: performance.now(), ...said } as Entry
    this.entries.push(entry)
    // What is said while the world ends belongs to no run.
    if (!this.#file.writableEnded) this.#file.write(`${JSON.stringify(entry)}\n`)
  }

  /** Goes on with these entries alone, in a new file: what was checked and holds is not needed any more. */
  keep (isKept: (entry: Entry) => boolean): void {
    const kept = this.entries.filter(isKept)
    this.entries.length = 0
    this.#file.end()
    this.#file = createWriteStream(this.path)
    for (const entry of kept) this.say(entry)
  }

  /** Resolves when all is in the file. */
  close (): Promise<void> {
    return new Promise((resolve) => { this.#file.end(resolve) })
  }
}
