/**
 * Works off each group's line: finds out who of the group is here, then hands messages out, one batch after the other, so
 * that a group's next record starts only after the previous one was handed out wholly [GW-GRP-1]. Groups do not wait for
 * each other.
 */
import type { UserEntry } from '../connections/hub.ts'
import type { Recorder } from '../explain/recorder.ts'
import type { Clock, Logger, Meter, Timer } from '../ports.ts'
import { encodeMembershipChange, type MembershipChange } from '../protocol/encode.ts'
import type { FanOut } from './fan-out.ts'
import { GroupLine, LineBudget, type LineLimits, type Waiting } from './group-line.ts'
import type { KnownMembers, Membership } from './membership.ts'
import type { OutboundMessage } from '../protocol/frames.ts'
import { groupFrame, readGroupMessage } from './records.ts'
import type { RecordTally } from './record-tally.ts'

export interface GroupLinesOptions extends LineLimits {
  readonly membership: Membership
  readonly fanOut: FanOut
  readonly tally: RecordTally
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  readonly recorder?: Recorder | undefined
}

/** Messages of a group that leave together. */
const MAX_BATCH = 64
/** Pauses while nobody can say who the members are. */
const FIRST_RETRY_MS = 200
const MAX_RETRY_MS = 5_000
/** A group of which somebody new stays undecided after so many answers is served with who is known. */
const MAX_ANSWERS = 3

export class GroupLines {
  readonly #options: GroupLinesOptions
  readonly #budget: LineBudget
  readonly #lines = new Map<string, GroupLine>()
  readonly #pauses = new Map<Timer, () => void>()
  #ended = false

  constructor (options: GroupLinesOptions) {
    this.#options = options
    this.#budget = new LineBudget(options, (line) => { this.#start(line) })
    options.meter.source('waiting_group_records', () => this.#budget.records)
  }

  /** Whether records of the group are on their way: whatever comes next has to follow them. */
  has (groupId: string): boolean {
    return this.#lines.has(groupId)
  }

  /** Puts a record into its group's line. A promise: there is no room, its partition waits. */
  add (groupId: string, waiting: Waiting): Promise<void> | undefined {
    if (this.tryAdd(groupId, waiting)) return undefined
    const line = this.#lines.get(groupId) ?? new GroupLine(groupId)
    this.#lines.set(groupId, line)
    return this.#budget.waitOutside(line, waiting)
  }

  /** As `add`; false: there is no room. */
  tryAdd (groupId: string, waiting: Waiting): boolean {
    const line = this.#lines.get(groupId) ?? new GroupLine(groupId)
    if (!this.#budget.tryAdd(line, waiting)) return false
    this.#lines.set(groupId, line)
    this.#start(line)
    return true
  }

  /** Whatever still waits is let go. */
  end (): void {
    this.#ended = true
    this.#budget.end()
    for (const [timer, wake] of this.#pauses) {
      this.#options.clock.clearTimer(timer)
      wake()
    }
    this.#pauses.clear()
  }

  #start (line: GroupLine): void {
    if (line.working) return
    line.working = true
    // At the end of the turn: the rest of what was fetched is in line by then, and leaves with it.
    setImmediate(() => { void this.#work(line) })
  }

  async #work (line: GroupLine): Promise<void> {
    while (line.waiting.length > 0 && !this.#ended) {
      const members = await this.#members(line.groupId)
      const batch = line.take(MAX_BATCH)
      try {
        await this.#deliver(line.groupId, members, batch)
      } catch (error) {
        for (const { record, span } of batch) {
          this.#options.tally.count(record, 'failed')
          span?.end('failed', true)
        }
        this.#options.logger.error({ err: error }, 'group records could not be handed out')
      }
      this.#budget.release(batch)
    }
    line.working = false
    if (line.outside === 0) this.#lines.delete(line.groupId)
  }

  /** Who of the group is here; waits, with growing pauses, for as long as nobody can say. */
  async #members (groupId: string): Promise<KnownMembers> {
    const { membership, logger } = this.#options
    let known: KnownMembers = []
    let pauseMs = FIRST_RETRY_MS
    for (let answers = 0; answers < MAX_ANSWERS && !this.#ended;) {
      const local = membership.local(groupId)
      if (local !== 'unknown') return local
      try {
        known = await membership.resolve(groupId)
        answers++
      } catch (error) {
        logger.debug({ err: error }, 'group members cannot be read, their records wait')
        await this.#pause(pauseMs)
        pauseMs = Math.min(2 * pauseMs, MAX_RETRY_MS)
      }
    }
    return known
  }

  async #deliver (groupId: string, members: KnownMembers, batch: readonly Waiting[]): Promise<void> {
    const change = batch[0]?.change
    if (members === 'missing' || members.length === 0) {
      const result = members === 'missing' ? 'group_not_found' : 'no_members'
      for (const { record, receivedAtMs, span } of batch) {
        const read = this.#options.recorder === undefined || change !== undefined ? undefined : readGroupMessage(record.value)
        if (read?.ok === true) this.#remember(read.value, receivedAtMs, result)
        this.#options.tally.count(record, result)
        span?.end(result, false)
      }
    } else if (change === undefined) await this.#deliverMessages(groupId, members, batch)
    else await this.#tellChange(members, change, batch[0] as Waiting)
  }

  async #deliverMessages (groupId: string, members: readonly UserEntry[], batch: readonly Waiting[]): Promise<void> {
    const { clock, fanOut, meter, tally } = this.#options
    const frames: Buffer[] = []
    const handedOut: Array<{ readonly waiting: Waiting, readonly message: OutboundMessage }> = []
    for (const waiting of batch) {
      const { record, span } = waiting
      const { message, frame, fault } = groupFrame(groupId, record.value)
      if (fault !== undefined) {
        if (message !== undefined) this.#remember(message, waiting.receivedAtMs, fault)
        tally.poison(record, fault)
        span?.end(fault, true)
      } else {
        frames.push(frame)
        handedOut.push({ waiting, message })
        tally.count(record, 'ok')
        meter.observe('fanout_members', members.length)
      }
    }
    if (frames.length === 0) return
    const { sent, sockets, refused } = await fanOut.deliver(members, frames, 'message')
    meter.count('group_deliveries_total', sent)
    const now = clock.monotonicMs()
    for (const [at, { waiting: { receivedAtMs, span }, message }] of handedOut.entries()) {
      const left = refused?.[at] ?? 0
      this.#remember(message, receivedAtMs, 'ok', sockets - left, left)
      meter.observe('fanout_seconds', (now - receivedAtMs) / 1000)
      span?.end('ok', false)
    }
  }

  #remember ({ msgId, sender, recipient }: OutboundMessage, receivedAtMs: number, outcome: string, taken = 0, refused = 0): void {
    const { recorder } = this.#options
    recorder?.ended(recorder.begin('group', msgId, recipient, '', sender, receivedAtMs), outcome, taken, refused)
  }

  /** To the members of a small group; the user concerned has been told [GW-EVT-1]. */
  async #tellChange (members: readonly UserEntry[], change: MembershipChange, { record }: Waiting): Promise<void> {
    const { clock, fanOut, membership, tally } = this.#options
    tally.count(record, 'ok')
    if (!membership.isSmall(change.groupId)) return
    const others = members.filter(({ userId }) => userId !== change.userId)
    await fanOut.deliver(others, [encodeMembershipChange(change, clock.unixMs())], 'membership_change')
  }

  async #pause (ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.setTimer(() => {
        this.#pauses.delete(timer)
        resolve()
      }, ms)
      this.#pauses.set(timer, resolve)
    })
  }
}
