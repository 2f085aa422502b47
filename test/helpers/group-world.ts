/** Everything between the group bus and the sockets: real hub, outbox, membership, fan-out and consumer in a world of fakes. */
import { Hub } from '../../src/connections/hub.ts'
import { Outbox } from '../../src/connections/outbox.ts'
import type { Connection } from '../../src/connections/connection.ts'
import { GroupConsumer } from '../../src/groups/consumer.ts'
import { FanOut } from '../../src/groups/fan-out.ts'
import type { LineLimits } from '../../src/groups/group-line.ts'
import { Membership, type MembershipOptions } from '../../src/groups/membership.ts'
import type { BusRecord, SharedCache, Topic } from '../../src/ports.ts'
import { connect } from './connections.ts'
import { FakeLogger, FakeMeter } from './fakes.ts'
import { fakeDriver, type FakeSocket } from './fake-socket.ts'
import { FakeUserService } from './fake-user-service.ts'
import { ManualClock, settle } from './manual-clock.ts'
import { MemorySharedCache } from './memory-shared-cache.ts'

export type GroupWorldOptions = Partial<LineLimits & Pick<MembershipOptions, 'largeGroupSize' | 'membershipCacheBytes' | 'cacheTtlMs'>> & { readonly shared?: boolean | SharedCache | undefined, readonly sharedTtlMs?: number }

export const TTL_MS = 300_000

export class GroupWorld {
  readonly clock = new ManualClock()
  readonly meter = new FakeMeter()
  readonly logger = new FakeLogger()
  readonly hub = new Hub()
  readonly users = new FakeUserService()
  readonly shared: MemorySharedCache
  readonly outbox: Outbox
  readonly membership: Membership
  readonly fanOut: FanOut
  readonly consumer: GroupConsumer
  #offset = 0

  constructor ({ shared = false, sharedTtlMs, ...limits }: GroupWorldOptions = {}) {
    const { clock, meter, logger, hub, users } = this
    this.shared = sharedTtlMs === undefined ? new MemorySharedCache() : new MemorySharedCache(clock, sharedTtlMs)
    this.outbox = new Outbox({ driver: fakeDriver, clock, meter, outboxBytes: 1e7, outboxTotalBytes: 1e8, writeBufferBytes: 4_096, writeWaitMs: 10_000, onSlow: () => {} })
    const common = { hub, outbox: this.outbox, clock, meter, logger, users, sharedCache: shared === true ? this.shared : shared === false ? undefined : shared }
    this.membership = new Membership({ largeGroupSize: 5, membershipCacheBytes: 1_000_000, cacheTtlMs: TTL_MS, ...limits, ...common })
    this.fanOut = new FanOut(common)
    this.consumer = new GroupConsumer({ maxWaitingRecords: 1_000, maxWaitingBytes: 8_388_608, ...limits, ...common, membership: this.membership, fanOut: this.fanOut })
  }

  connect (userId: string, deviceId = 'phone'): FakeSocket {
    return connect(this.hub, userId, deviceId).socket
  }

  connection (userId: string, deviceId = 'phone'): Connection {
    return connect(this.hub, userId, deviceId).connection
  }

  /** The user's last connection goes. */
  leave (userId: string): void {
    for (const connection of this.hub.user(userId)?.connections.slice() ?? []) this.hub.remove(connection)
  }

  record (topic: Topic, key: string | null, value: string | object | null): BusRecord {
    const text = typeof value === 'object' && value !== null ? JSON.stringify(value) : value
    return { topic, partition: 0, offset: String(this.#offset++), key: key === null ? null : Buffer.from(key), value: text === null ? null : Buffer.from(text), timestampMs: 0 }
  }

  message (groupId: string, msgId: string, more: object = {}): BusRecord {
    return this.record('group_msg', groupId, { msg_id: msgId, group_id: groupId, sender_id: 'ann', content: 'hi', message_type: 'text', sequence_number: 1, timestamp: 2, ...more })
  }

  change (groupId: string, userId: string, event: 'join' | 'leave'): BusRecord {
    return this.record('membership_change', groupId, { group_id: groupId, user_id: userId, event_type: event, timestamp: 2 })
  }

  /** Hands records over and lets all that is ready happen. */
  async take (...records: BusRecord[]): Promise<void> {
    for (const record of records) void this.consumer.handle(record)
    await settled()
  }
}

/** Longer than `settle`: members are read, looked up, fanned out and flushed one after the other. */
export async function settled (): Promise<void> {
  for (let i = 0; i < 6; i++) await settle()
}

/** Ids of the messages that a socket got, in order. */
export function idsOf (socket: FakeSocket): unknown[] {
  return socket.frames.filter(({ type }) => type === 'message').map((frame) => frame.msg_id)
}

/** Frames of other types as `type group user event`. */
export function changesOf (socket: FakeSocket): string[] {
  return socket.frames.filter(({ type }) => type === 'membership_change').map((frame) => `${String(frame.user_id)} ${String(frame.event_type)}`)
}
