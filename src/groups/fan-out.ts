/**
 * Hands frames to many members in slices, so that the loop is given back every few hundred sends [GW-GRP-5]. Jobs take
 * turns: one huge group does not hold up the others. A member gets all frames of a job one after the other, so that a
 * burst to a group leaves in one write.
 */
import type { UserEntry } from '../connections/hub.ts'
import type { Connection } from '../connections/connection.ts'
import type { SendResult } from '../connections/outbox.ts'
import type { ServerFrameType } from '../protocol/frames.ts'

export interface FanOutOptions {
  readonly outbox: { send (connection: Connection, frame: Buffer, type: ServerFrameType): SendResult }
  /** Members served in one turn of the loop. */
  readonly membersPerTurn?: number
}

interface Job {
  readonly members: readonly UserEntry[]
  readonly frames: readonly Buffer[]
  readonly type: ServerFrameType
  at: number
  sent: number
  readonly done: (sent: number) => void
}

const MEMBERS_PER_TURN = 256
/** What one job gets at a time while others wait. */
const MEMBERS_PER_JOB = 64

export class FanOut {
  readonly #options: FanOutOptions
  readonly #membersPerTurn: number
  #jobs: Job[] = []
  #scheduled = false

  constructor (options: FanOutOptions) {
    this.#options = options
    this.#membersPerTurn = options.membersPerTurn ?? MEMBERS_PER_TURN
  }

  /** Resolves to the number of frames that were queued, once all members had their turn. `members` is not kept when it is short. */
  deliver (members: readonly UserEntry[], frames: readonly Buffer[], type: ServerFrameType): Promise<number> {
    return new Promise((resolve) => {
      // A longer job outlives this turn, in which a member may leave and another take its place in the list.
      const kept = members.length > MEMBERS_PER_JOB || this.#scheduled ? members.slice() : members
      this.#jobs.push({ members: kept, frames, type, at: 0, sent: 0, done: resolve })
      if (this.#scheduled) return
      this.#scheduled = true
      this.#turn()
    })
  }

  #turn (): void {
    let left = this.#membersPerTurn
    while (left > 0) {
      const job = this.#jobs.shift()
      if (job === undefined) break
      const share = Math.min(left, MEMBERS_PER_JOB)
      left -= this.#serve(job, share)
      if (job.at < job.members.length) this.#jobs.push(job)
      else job.done(job.sent)
    }
    this.#scheduled = this.#jobs.length > 0
    if (this.#scheduled) setImmediate(() => { this.#turn() })
  }

  /** At most `share` members; the number served. */
  #serve (job: Job, share: number): number {
    const { members, frames, type } = job
    const end = Math.min(members.length, job.at + share)
    const { outbox } = this.#options
    const from = job.at
    for (; job.at < end; job.at++) {
      for (const connection of (members[job.at] as UserEntry).connections) {
        for (const frame of frames) if (outbox.send(connection, frame, type) === 'queued') job.sent++
      }
    }
    return Math.max(1, end - from)
  }
}
