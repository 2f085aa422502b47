/** What the gateway's costs are followed over: the same measurement at several sizes, each on a gateway of its own. */
import { deliveries } from '../scenarios/S3.ts'
import { perPush } from '../scenarios/S7.ts'
import { pushAll } from './callers.ts'
import { MEMORY_FLAGS } from './peers.ts'
import type { Scenario } from './scenario.ts'
import type { Stage } from './world.ts'

export interface Curve extends Pick<Scenario, 'acks' | 'real' | 'nodeFlags'> {
  readonly id: string
  readonly title: string
  readonly unit: string
  /** What there is more of. */
  readonly sizeUnit: string
  readonly sizes: readonly number[]
  /** `unit`: the cost is of each one and stays as it is. `whole`: it is a + b × size, and b stays as it is. */
  readonly of: 'unit' | 'whole'
  measure (stage: Stage, size: number): Promise<number>
}

const KILOBYTE = 1024
const CONNECTIONS = [1_000, 3_000, 8_000, 18_000]
const WARM_UP_HANDSHAKES = 6_000
const AT_ONCE = 50

/** Users of all groups, and members of each: few enough that MEMBERSHIP_CACHE_BYTES holds all groups. */
const USERS = 200
const MEMBERS = 20
const GROUP_MESSAGES = 4_000
/** Deliveries of a size; a size that is small has more messages, but not without end. */
const DELIVERIES = 200_000
const [MIN_MESSAGES, MAX_MESSAGES] = [20, 2_000]
const COMMANDS = 2_000
const PATIENCE_MS = 30_000

/** Slow enough that one core has time for it at all sizes. */
const SENDS_PER_SECOND = 10_000
const WARM_UP_MS = 2_000
const SENDING_MS = 4_000

const WARM_UP_PUSHES = 20_000
const PUSHES = 60_000
const PUSHES_AT_ONCE = 2_000

export const CURVES: readonly Curve[] = [
  {
    id: 'S1',
    title: 'Resident memory of idle connections',
    unit: 'KB',
    sizeUnit: 'connections',
    sizes: CONNECTIONS,
    // What handshakes before have left behind is used first: b is the cost of a connection, as in S1.
    of: 'whole',
    real: ['etcd'],
    nodeFlags: MEMORY_FLAGS,
    async measure ({ server, load }, size) {
      await load.churn(WARM_UP_HANDSHAKES, AT_ONCE)
      const before = await server.residentBytes()
      await load.open(size)
      return (await server.residentBytes() - before) / KILOBYTE
    }
  },
  {
    id: 'S3',
    title: 'CPU of a group message of 200 bytes',
    unit: 'us',
    sizeUnit: 'members',
    sizes: [10, 100, 1_000, 10_000],
    of: 'whole',
    async measure (stage, size) {
      const messages = Math.min(MAX_MESSAGES, Math.max(MIN_MESSAGES, DELIVERIES / size))
      await deliveries(stage, size, messages, 1)
      return await deliveries(stage, size, messages, 1) * size - await commandUs(stage)
    }
  },
  {
    id: 'S3-groups',
    title: `CPU per delivery of a message to one of many groups of ${MEMBERS}`,
    unit: 'us',
    sizeUnit: 'groups',
    sizes: [10, 100, 1_000, 10_000],
    of: 'unit',
    async measure (stage, size) {
      const { server, load, services } = stage
      services.members = MEMBERS
      services.users = USERS
      await load.open(USERS)
      let sent = 0
      const run = async (messages: number): Promise<void> => {
        await load.reset()
        for (let n = 1; n <= messages; n++) {
          await server.ask('broadcast', 1, `g${sent++ % size}`)
          await load.awaitData(MEMBERS * n, PATIENCE_MS)
        }
      }
      // Each group once at least, so that all of them are known.
      await run(Math.max(size, GROUP_MESSAGES))
      // What reading them left behind is no message's cost.
      await server.ask('gc')
      const before = server.cpuUs
      await run(GROUP_MESSAGES)
      const cpuUs = server.cpuUs - before
      services.users = Infinity
      const { data, repeats, closed } = await load.stats()
      if (data !== MEMBERS * GROUP_MESSAGES || repeats + closed > 0) throw new Error(`${data} of ${MEMBERS * GROUP_MESSAGES} deliveries, ${repeats} twice, ${closed} closed`)
      return (cpuUs / GROUP_MESSAGES - await commandUs(stage)) / MEMBERS
    }
  },
  {
    id: 'S6',
    title: `CPU of a message to the IM Service and its ack, ${SENDS_PER_SECOND.toLocaleString('en')} a second`,
    unit: 'us',
    sizeUnit: 'connections',
    sizes: CONNECTIONS,
    of: 'unit',
    async measure ({ server, load }, size) {
      await load.open(size)
      await load.openLoop(SENDS_PER_SECOND, WARM_UP_MS)
      await load.reset()
      const before = server.cpuUs
      await load.openLoop(SENDS_PER_SECOND, SENDING_MS)
      const cpuUs = server.cpuUs - before
      const { sent, replies, repeats, closed } = await load.stats()
      if (sent !== replies || repeats + closed > 0) throw new Error(`${sent} sent, ${replies} answered, ${repeats} twice, ${closed} closed`)
      return cpuUs / replies
    }
  },
  {
    id: 'S7',
    title: 'CPU of a push, its ack and the report',
    unit: 'us',
    sizeUnit: 'connections',
    sizes: CONNECTIONS,
    of: 'unit',
    acks: true,
    async measure (stage, size) {
      const { server, load, surroundings } = stage
      await load.open(size)
      const port = await server.ask<number>('grpcPort')
      return await perPush(stage, WARM_UP_PUSHES, PUSHES, (count, from) => pushAll(port, surroundings.bearer, 'stream', { from, count, atOnce: PUSHES_AT_ONCE, users: size }))
    }
  }
]

/** What it costs the server to be told to send, which is the bench's own doing. */
async function commandUs ({ server }: Stage): Promise<number> {
  const before = server.cpuUs
  for (let n = 0; n < COMMANDS; n++) await server.ask('broadcast', 0)
  return (server.cpuUs - before) / COMMANDS
}
