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
}

/** What became of the frames of a job. */
export interface FanOutResult {
  /** Frames that were queued. */
  readonly sent: number
  /** Connections that were given all of them. */
  readonly sockets: number
  /** By frame, how many of them did not take it: they were closing, or too slow. null: all took all. */
  readonly refused: readonly number[] | null
}

interface Job extends FanOutResult {
  readonly members: readonly UserEntry[]
  readonly frames: readonly Buffer[]
  readonly type: ServerFrameType
  readonly done: (result: FanOutResult) => void
  at: number
  sent: number
  sockets: number
  refused: number[] | null
}

/** What is spent in one turn of the loop. A connection costs one write, whatever it gets; eight frames for it cost about as much again. */
const COST_PER_TURN = 256
const FRAME_COST = 1 / 8
/** What one job may spend before the others have their turn. */
const COST_PER_JOB = 64

export class FanOut {
  readonly #outbox: FanOutOptions['outbox']
  /** Jobs of this round and of the next. */
  #round: Job[] = []
  #next: Job[] = []
  #at = 0
  #left = COST_PER_TURN
  #scheduled = false

  constructor (options: FanOutOptions) {
    this.#outbox = options.outbox
  }

  /** Resolves once all members had their turn. Whoever leaves meanwhile may get them. */
  deliver (members: readonly UserEntry[], frames: readonly Buffer[], type: ServerFrameType): Promise<FanOutResult> {
    return new Promise((resolve) => {
      // A copy: a frame may close whoever it is for as slow, who then leaves the list while it is walked.
      const job: Job = { members: members.slice(), frames, type, done: resolve, at: 0, sent: 0, sockets: 0, refused: null }
      if (this.#left > 0 && this.#round.length + this.#next.length === 0 && this.#serve(job)) resolve(job)
      else this.#next.push(job)
      // What was spent is spent for all that happens in this turn of the loop.
      this.#schedule()
    })
  }

  #schedule (): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#left = COST_PER_TURN
      this.#turn()
    })
  }

  #turn (): void {
    while (this.#left > 0) {
      if (this.#at === this.#round.length) {
        this.#round = this.#next
        this.#next = []
        this.#at = 0
        if (this.#round.length === 0) return
      }
      const job = this.#round[this.#at++] as Job
      if (this.#serve(job)) job.done(job)
      else this.#next.push(job)
    }
    this.#schedule()
  }

  /** Goes on with a job for as long as its share lasts. True: it is done. */
  #serve (job: Job): boolean {
    const { members, frames, type } = job
    let share = Math.min(this.#left, COST_PER_JOB)
    this.#left -= share
    while (job.at < members.length && share > 0) {
      const { connections } = members[job.at++] as UserEntry
      for (const connection of connections) {
        job.sockets++
        for (let index = 0; index < frames.length; index++) {
          const frame = frames[index] as Buffer
          if (this.#outbox.send(connection, frame, type) === 'queued') job.sent++
          else refuse(job, index)
        }
      }
      share -= Math.max(1, connections.length * (1 + frames.length * FRAME_COST))
    }
    this.#left += share
    return job.at === members.length
  }
}

function refuse (job: Job, index: number): void {
  job.refused ??= job.frames.map(() => 0)
  job.refused[index] = (job.refused[index] as number) + 1
}
