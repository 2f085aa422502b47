/** Records for groups at a steady rate, each group's in the order of their numbers. */
import { setTimeout as pause } from 'node:timers/promises'
import type { FaultWorld } from './fault-world.ts'

const AGAIN_MS = 200

export class GroupTraffic {
  readonly groups: string[] = []
  readonly #world: FaultWorld
  readonly #content: string
  #lanes: Array<Promise<void>> = []
  #isOver = false
  #records = 0

  /** So many groups, each with the same members. */
  constructor (world: FaultWorld, groups: number, members: readonly string[], content = 'hi') {
    this.#world = world
    this.#content = content
    for (let i = 0; i < groups; i++) {
      const group = `group_t${i}-${world.run}`
      this.groups.push(group)
      world.world.users.createGroup(group, members)
      world.ledger.say({ kind: 'group', group, members })
    }
  }

  get records (): number { return this.#records }

  start (perSecond: number): void {
    const { producer } = this.#world.outside
    this.#lanes = this.groups.map(async (group, lane) => {
      const pauseMs = 1000 * this.groups.length / perSecond
      const startedMs = performance.now()
      for (let sequence = 1; !this.#isOver && !this.#world.isOver; sequence++) {
        const record = { msg_id: `t${lane}-${sequence}`, group_id: group, sender_id: 'traffic', content: this.#content, message_type: 'text', sequence_number: sequence, timestamp: Date.now() }
        // What the broker did not say it has is given to it again: it may have it twice.
        while (!this.#world.isOver && !await producer.produce('group_msg', group, record).then(() => true, () => false)) await pause(AGAIN_MS)
        this.#records++
        await pause(startedMs + sequence * pauseMs - performance.now())
      }
    })
  }

  /** Resolves when the broker has the last record of each group. */
  async stop (): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#lanes)
  }
}
