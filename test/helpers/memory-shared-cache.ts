/** A shared cache in memory: as Redis would hold the groups, for tests of what is built on it. */
import { GatewayError } from '../../src/errors.ts'
import type { SharedCache } from '../../src/ports.ts'

export class MemorySharedCache implements SharedCache {
  readonly groups = new Map<string, Set<string>>()
  /** Calls in their order: `members g`, `store g`, `apply g user join`. */
  readonly calls: string[] = []
  isAway = false

  async members (groupId: string): Promise<string[] | undefined> {
    this.#call(`members ${groupId}`)
    const group = this.groups.get(groupId)
    return group === undefined || group.size === 0 ? undefined : [...group]
  }

  async store (groupId: string, userIds: readonly string[]): Promise<void> {
    this.#call(`store ${groupId}`)
    this.groups.set(groupId, new Set(userIds))
  }

  async apply (groupId: string, userId: string, event: 'join' | 'leave'): Promise<void> {
    this.#call(`apply ${groupId} ${userId} ${event}`)
    if (event === 'join') this.groups.get(groupId)?.add(userId)
    else this.groups.get(groupId)?.delete(userId)
  }

  #call (text: string): void {
    this.calls.push(text)
    if (this.isAway) throw new GatewayError('SERVICE_UNAVAILABLE')
  }
}
