/**
 * What becomes of bus records. A group message is looked at by its key first: where nobody of the group is here it costs
 * next to nothing [GW-GRP-6]. Otherwise it goes into its group's line: one group waits for its member list or a long
 * fan-out while others pass. Never throws; whatever cannot be read is counted and passed over.
 */
import type { Hub, UserEntry } from '../connections/hub.ts'
import type { Recorder } from '../explain/recorder.ts'
import type { BusRecord, Clock, Logger, Meter, Tracer } from '../ports.ts'
import { isPartyId } from '../protocol/decode.ts'
import { encodeMembershipChange, encodeReadReceipt } from '../protocol/encode.ts'
import type { ServerFrameType } from '../protocol/frames.ts'
import type { FanOut, FanOutOptions } from './fan-out.ts'
import type { LineLimits } from './group-line.ts'
import { GroupLines } from './group-lines.ts'
import type { Membership } from './membership.ts'
import { readGroupMessage, readMembershipChange, readReceiptEvent } from './records.ts'
import { RecordTally } from './record-tally.ts'

export interface GroupConsumerOptions extends LineLimits {
  readonly hub: Hub
  readonly outbox: FanOutOptions['outbox']
  readonly membership: Membership
  readonly fanOut: FanOut
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  readonly tracer?: Tracer | undefined
  readonly recorder?: Recorder | undefined
}

export class GroupConsumer {
  readonly #options: GroupConsumerOptions
  readonly #tally: RecordTally
  readonly #lines: GroupLines
  #stopped = false

  constructor (options: GroupConsumerOptions) {
    this.#options = options
    this.#tally = new RecordTally(options)
    this.#lines = new GroupLines({ ...options, tally: this.#tally })
  }

  /** Handler for the group bus. A promise: there is no room, its partition waits. */
  handle (record: BusRecord): Promise<void> | undefined {
    if (this.#stopped) return undefined
    if (record.topic === 'group_msg') return this.#onGroupMessage(record)
    if (record.topic === 'membership_change') this.#onMembershipChange(record)
    else this.#onReceipt(record)
    return undefined
  }

  /** Whatever still waits is let go. */
  stop (): void {
    this.#stopped = true
    this.#lines.end()
  }

  #onGroupMessage (record: BusRecord): Promise<void> | undefined {
    const groupId = this.#groupOf(record)
    if (groupId === undefined) return undefined
    if (!this.#lines.has(groupId)) {
      const local = this.#options.membership.local(groupId)
      if (local === 'missing') return this.#passOver(record, 'group_not_found')
      if (local !== 'unknown' && local.length === 0) return this.#passOver(record, 'no_members')
      if (local === 'unknown' && !this.#isReadable(record, groupId)) return undefined
    }
    const { clock, tracer } = this.#options
    const span = tracer?.start('group_msg', record.traceparent, { group_id: groupId, partition: record.partition, offset: record.offset })
    return this.#lines.add(groupId, { record, receivedAtMs: clock.monotonicMs(), span })
  }

  /** By the key; from a producer without keys only the value says it. */
  #groupOf (record: BusRecord): string | undefined {
    if (record.key !== null && record.key.length > 0) return record.key.toString()
    const read = readGroupMessage(record.value)
    if (read.ok) return read.value.recipient
    this.#tally.poison(record, read.reason)
    return undefined
  }

  /** Before a group is read for it: nobody makes us ask the User Service for what no group can be called. */
  #isReadable (record: BusRecord, groupId: string): boolean {
    const read = readGroupMessage(record.value)
    if (!read.ok) this.#tally.poison(record, read.reason)
    else if (read.value.recipient !== groupId || !isPartyId(groupId)) this.#tally.poison(record, 'key_mismatch')
    else return true
    return false
  }

  #passOver (record: BusRecord, result: 'no_members' | 'group_not_found'): undefined {
    this.#tally.count(record, result)
  }

  /** It takes effect at once; telling it to the members waits for its turn, and is left out where too much waits already [GW-EVT-1]. */
  #onMembershipChange (record: BusRecord): void {
    const read = readMembershipChange(record.value)
    if (!read.ok) { this.#tally.poison(record, read.reason); return }
    const change = read.value
    const { hub, membership, clock } = this.#options
    membership.apply(change.groupId, change.userId, change.eventType)
    const concerned = hub.user(change.userId)
    if (concerned !== undefined) this.#send(concerned, undefined, encodeMembershipChange(change, clock.unixMs()), 'membership_change')
    if (hub.userCount === 0) { this.#tally.count(record, 'no_members'); return }
    if (!this.#lines.has(change.groupId)) {
      const local = membership.local(change.groupId)
      if (local === 'missing') { this.#tally.count(record, 'group_not_found'); return }
      if (local !== 'unknown' && local.length === 0) { this.#tally.count(record, 'no_members'); return }
    }
    if (!this.#lines.tryAdd(change.groupId, { record, receivedAtMs: clock.monotonicMs(), change })) this.#tally.count(record, 'not_told')
  }

  /** To the devices of whose message was read, here; every node has the record [GW-EVT-1]. */
  #onReceipt (record: BusRecord): void {
    const read = readReceiptEvent(record.value)
    if (!read.ok) { this.#tally.poison(record, read.reason); return }
    const { hub, clock } = this.#options
    const user = hub.user(read.value.senderId)
    if (user !== undefined) this.#send(user, read.value.deviceId, encodeReadReceipt(read.value, clock.unixMs()), 'read_receipt')
    this.#tally.count(record, user === undefined ? 'no_members' : 'ok')
  }

  #send (user: UserEntry, deviceId: string | undefined, frame: Buffer, type: ServerFrameType): void {
    for (const connection of user.connections) {
      if (deviceId === undefined || connection.deviceId === deviceId) this.#options.outbox.send(connection, frame, type)
    }
  }
}
