/** What changed, revision by revision, until it is compacted away: replays for watches, reads of the past. */
import { KvCompactedError, type KvEvent } from '../ports.ts'
import { byKey, type Stored } from './key-tree.ts'

export interface Change { readonly revision: number, readonly key: string, readonly before: Stored | undefined, readonly after: Stored | undefined }
export interface Revision { readonly revision: number, readonly events: KvEvent[] }

export class History {
  readonly #limit: number
  #changes: Change[] = []
  #compacted = 0

  /** Past `limit` changes the older half is compacted. */
  constructor (limit: number) {
    this.#limit = limit
  }

  /** What happened up to this revision is gone; 0: nothing is. */
  get compacted (): number { return this.#compacted }

  record (changes: readonly Change[]): void {
    for (const change of changes) this.#changes.push(change)
    const middle = this.#changes[this.#changes.length >> 1]
    if (this.#changes.length > this.#limit && middle !== undefined) this.compact(middle.revision)
  }

  compact (revision: number): void {
    this.#compacted = Math.max(this.#compacted, revision)
    this.#changes = this.#changes.filter((change) => change.revision > revision)
  }

  /** What happened below a prefix from a revision on. @throws KvCompactedError */
  since (revision: number, prefix: string): Revision[] {
    if (revision <= this.#compacted) throw new KvCompactedError()
    const revisions: Revision[] = []
    for (const change of this.#changes) {
      if (change.revision < revision || !change.key.startsWith(prefix)) continue
      const last = revisions.at(-1)
      if (last?.revision === change.revision) last.events.push(eventOf(change))
      else revisions.push({ revision: change.revision, events: [eventOf(change)] })
    }
    return revisions
  }

  /** What stood below a prefix at a revision in the past: today's entries with the changes since taken back. */
  undo (entries: readonly Stored[], prefix: string, revision: number): Stored[] {
    const then = new Map(entries.map((entry) => [entry.key, entry]))
    for (let at = this.#changes.length - 1; at >= 0; at--) {
      const change = this.#changes[at] as Change
      if (change.revision <= revision) break
      if (!change.key.startsWith(prefix)) continue
      if (change.before === undefined) then.delete(change.key)
      else then.set(change.key, change.before)
    }
    return [...then.values()].sort(byKey)
  }
}

export function eventOf (change: Change): KvEvent {
  const { key, revision, after } = change
  return after === undefined ? { type: 'delete', key, revision } : { type: 'put', key, value: after.value, revision }
}
