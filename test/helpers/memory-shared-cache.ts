/** A shared cache in memory: as Redis would hold the groups, for tests of what is built on it. */
import { GatewayError } from '../../src/errors.ts'
import type { Clock, SharedCache } from '../../src/ports.ts'

export class MemorySharedCache implements SharedCache {
  readonly groups = new Map<string, Set<string>>()
  /** Calls in their order: `members g`, `store g`, `apply g user join`. */
  readonly calls: string[] = []
  isAway = false
  /** Reads wait until `letGo`; they answer with what was true when they came. */
  isHolding = false
  #held: Array<() => void> = []
  readonly #clock: Clock | undefined
  readonly #ttlMs: number
  readonly #storedAtMs = new Map<string, number>()

  /** Without a clock nothing expires. */
  constructor (clock?: Clock, ttlMs = Infinity) {
    this.#clock = clock
    this.#ttlMs = ttlMs
  }

  async members (groupId: string): Promise<string[] | undefined> {
    this.#call(`members ${groupId}`)
    if (this.#now() - (this.#storedAtMs.get(groupId) ?? 0) >= this.#ttlMs) this.groups.delete(groupId)
    const group = this.groups.get(groupId)
    const members = group === undefined || group.size === 0 ? undefined : [...group]
    if (this.isHolding) await new Promise<void>((resolve) => { this.#held.push(resolve) })
    return members
  }

  letGo (): void {
    for (const go of this.#held.splice(0)) go()
  }

  async store (groupId: string, userIds: readonly string[]): Promise<void> {
    this.#call(`store ${groupId}`)
    this.groups.set(groupId, new Set(userIds))
    this.#storedAtMs.set(groupId, this.#now())
  }

  async apply (groupId: string, userId: string, event: 'join' | 'leave'): Promise<void> {
    this.#call(`apply ${groupId} ${userId} ${event}`)
    if (event === 'join') this.groups.get(groupId)?.add(userId)
    else this.groups.get(groupId)?.delete(userId)
  }

  #now (): number {
    return this.#clock?.monotonicMs() ?? 0
  }

  #call (text: string): void {
    this.calls.push(text)
    if (this.isAway) throw new GatewayError('SERVICE_UNAVAILABLE')
  }
}
