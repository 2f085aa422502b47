/**
 * What becomes of bus records. A group message is looked at by its key first: where nobody of the group is here it costs
 * next to nothing [GW-GRP-6]. Otherwise it goes into its group's line: one group waits for its member list or a long
 * fan-out while others pass. Never throws; whatever cannot be read is counted and passed over.
 */
import type { Hub, UserEntry } from '../connections/hub.ts'
import type { BusRecord, Clock, Logger, Meter, Timer } from '../ports.ts'
import { encodeMembershipChange, encodeMessage, encodeReadReceipt, type MembershipChange } from '../protocol/encode.ts'
import type { FanOut, FanOutOptions } from './fan-out.ts'
import { GroupLine, LineBudget, type LineLimits } from './group-line.ts'
import type { Membership } from './membership.ts'
import { readGroupMessage, readMembershipChange, readReceiptEvent } from './records.ts'

export interface GroupConsumerOptions extends LineLimits {
  readonly hub: Hub
  readonly outbox: FanOutOptions['outbox']
  readonly membership: Membership
  readonly fanOut: FanOut
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
}

/** Messages of a group that leave together. */
const MAX_BATCH = 64
const FIRST_RETRY_MS = 200
const MAX_RETRY_MS = 5_000
/** A group that is still unknown after so many answers is served with what is known. */
const MAX_ANSWERS = 3
const POISON_LOG_MS = 1_000

export class GroupConsumer {
  readonly #options: GroupConsumerOptions
  readonly #lines = new Map<string, GroupLine>()
  readonly #budget: LineBudget
  readonly #retries = new Map<Timer, () => void>()
  #stopped = false
  #poisonLoggedAtMs = -POISON_LOG_MS

  constructor (options: GroupConsumerOptions) {
    this.#options = options
    this.#budget = new LineBudget(options)
    options.meter.source('waiting_group_records', () => this.#budget.records)
  }

  /** Handler for the group bus. A promise: there is no room, its partition waits. */
  handle (record: BusRecord): void | Promise<void> {
    if (this.#stopped) return undefined
    switch (record.topic) {
      case 'group_msg': return this.#onGroupMessage(record)
      case 'membership_change': return this.#onMembershipChange(record)
      case 'read_receipt_events': this.#onReceipt(record); return undefined
    }
  }

  /** Whatever still waits is let go. */
  stop (): void {
    this.#stopped = true
    for (const [timer, wake] of this.#retries) {
      this.#options.clock.clearTimer(timer)
      wake()
    }
    this.#retries.clear()
  }

  #onGroupMessage (record: BusRecord): void | Promise<void> {
    let groupId = record.key === null ? '' : record.key.toString()
    if (groupId === '') {
      // A producer without keys: only the value says whose it is.
      const read = readGroupMessage(record.value)
      if (!read.ok) { this.#poison(record, read.reason); return undefined }
      groupId = read.value.recipient
    }
    if (!this.#lines.has(groupId)) {
      const local = this.#options.membership.local(groupId)
      if (local === 'missing') { this.#count(record, 'group_not_found'); return undefined }
      if (local !== 'unknown' && local.length === 0) { this.#count(record, 'no_members'); return undefined }
    }
    return this.#line(groupId, record)
  }

  #onMembershipChange (record: BusRecord): void | Promise<void> {
    const read = readMembershipChange(record.value)
    if (!read.ok) { this.#poison(record, read.reason); return undefined }
    const change = read.value
    const { hub, membership, outbox, clock } = this.#options
    membership.apply(change.groupId, change.userId, change.eventType)
    const concerned = hub.user(change.userId)
    if (concerned !== undefined) {
      const frame = encodeMembershipChange(change, clock.unixMs())
      for (const connection of concerned.connections) outbox.send(connection, frame, 'membership_change')
    }
    if (hub.userCount === 0) { this.#count(record, 'no_members'); return undefined }
    return this.#line(change.groupId, record)
  }

  #onReceipt (record: BusRecord): void {
    const read = readReceiptEvent(record.value)
    if (!read.ok) { this.#poison(record, read.reason); return }
    const { senderId, deviceId } = read.value
    const { hub, outbox, clock } = this.#options
    const user = hub.user(senderId)
    if (user === undefined) { this.#count(record, 'no_members'); return }
    const frame = encodeReadReceipt(read.value, clock.unixMs())
    for (const connection of user.connections) {
      if (deviceId === undefined || connection.deviceId === deviceId) outbox.send(connection, frame, 'read_receipt')
    }
    this.#count(record, 'ok')
  }

  #line (groupId: string, record: BusRecord): Promise<void> | undefined {
    let line = this.#lines.get(groupId)
    if (line === undefined) this.#lines.set(groupId, line = new GroupLine(groupId))
    const outside = this.#budget.add(line, record)
    if (!line.working) {
      line.working = true
      // At the end of the turn: the rest of a batch is in line by then, and leaves with it.
      setImmediate(() => { this.#work(line).catch((error: unknown) => { this.#options.logger.error({ err: error }, 'group line failed') }) })
    }
    return outside
  }

  async #work (line: GroupLine): Promise<void> {
    try {
      while (line.records.length > 0 && !this.#stopped) {
        const members = await this.#members(line.groupId)
        const batch = takeBatch(line.records)
        try {
          await this.#deliver(line.groupId, members, batch)
        } finally {
          this.#budget.release(batch)
        }
      }
    } finally {
      line.working = false
      this.#lines.delete(line.groupId)
    }
  }

  /** Who of the group is here; waits, with growing pauses, for as long as nobody can say. */
  async #members (groupId: string): Promise<readonly UserEntry[] | 'missing'> {
    const { membership, logger } = this.#options
    let pauseMs = FIRST_RETRY_MS
    for (let answers = 0; answers < MAX_ANSWERS && !this.#stopped;) {
      const local = membership.local(groupId)
      if (local !== 'unknown') return local
      try {
        await membership.resolve(groupId)
        answers++
      } catch (error) {
        logger.debug({ err: error }, 'group members cannot be read, their records wait')
        await this.#pause(pauseMs)
        pauseMs = Math.min(2 * pauseMs, MAX_RETRY_MS)
      }
    }
    return membership.known(groupId)
  }

  async #deliver (groupId: string, members: readonly UserEntry[] | 'missing', batch: readonly BusRecord[]): Promise<void> {
    if (members === 'missing' || members.length === 0) {
      for (const record of batch) this.#count(record, members === 'missing' ? 'group_not_found' : 'no_members')
      return
    }
    if (batch[0]?.topic === 'membership_change') await this.#tellChange(groupId, members, batch[0])
    else await this.#deliverMessages(groupId, members, batch)
  }

  async #deliverMessages (groupId: string, members: readonly UserEntry[], batch: readonly BusRecord[]): Promise<void> {
    const { clock, fanOut, meter } = this.#options
    const startedAtMs = clock.monotonicMs()
    const frames: Buffer[] = []
    for (const record of batch) {
      const read = readGroupMessage(record.value)
      if (!read.ok) this.#poison(record, read.reason)
      else if (read.value.recipient !== groupId) this.#poison(record, 'key_mismatch')
      else {
        frames.push(encodeMessage(read.value, false))
        this.#count(record, 'ok')
      }
    }
    if (frames.length === 0) return
    meter.observe('fanout_members', members.length)
    const sent = await fanOut.deliver(members, frames, 'message')
    meter.count('group_deliveries_total', sent)
    meter.observe('fanout_seconds', (clock.monotonicMs() - startedAtMs) / 1000)
  }

  /** To the members; the user concerned has been told [GW-EVT-1]. */
  async #tellChange (groupId: string, members: readonly UserEntry[], record: BusRecord): Promise<void> {
    const { clock, fanOut, membership } = this.#options
    this.#count(record, 'ok')
    if (!membership.isSmall(groupId)) return
    const { value: change } = readMembershipChange(record.value) as { value: MembershipChange }
    const others = members.filter(({ userId }) => userId !== change.userId)
    await fanOut.deliver(others, [encodeMembershipChange(change, clock.unixMs())], 'membership_change')
  }

  async #pause (ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.setTimer(() => {
        this.#retries.delete(timer)
        resolve()
      }, ms)
      this.#retries.set(timer, resolve)
    })
  }

  #poison (record: BusRecord, reason: string): void {
    this.#count(record, reason)
    const { clock, logger } = this.#options
    const now = clock.monotonicMs()
    if (now - this.#poisonLoggedAtMs < POISON_LOG_MS) return
    this.#poisonLoggedAtMs = now
    logger.warn({ topic: record.topic, partition: record.partition, offset: record.offset, reason }, 'record passed over')
  }

  #count (record: BusRecord, result: string): void {
    this.#options.meter.count('group_records_total', 1, record.topic, result)
  }
}

/** The head of a line: messages up to the next membership change, or one change. */
function takeBatch (records: BusRecord[]): BusRecord[] {
  let end = 0
  while (end < records.length && end < MAX_BATCH && records[end]?.topic === 'group_msg') end++
  return records.splice(0, Math.max(1, end))
}
