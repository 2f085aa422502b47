/** A whole node with its real clients of etcd, Redis, Kafka and the services, each of which can be taken away and given back. */
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Test } from 'tap'
import WebSocket from 'ws'
import { SendError, type DemoClient } from '../../demo/client.ts'
import type { RefusedBy } from '../../scripts/lib/degraded-page.ts'
import { GatewayError } from '../../src/errors.ts'
import type { HealthReport } from '../../src/health.ts'
import type { Dependency } from '../../src/ports.ts'
import { startNode, startWorld, tokenFor, type TestApp } from './app.ts'
import { eventually } from './bus-conformance.ts'
import { FakeEtcd } from './fake-etcd.ts'
import { FakeCluster } from './fake-kafka.ts'
import { FakeRedis } from './fake-redis.ts'
import { FakeServices } from './fake-services.ts'
import { BEARER, imCaller, type ImCaller } from './im-caller.ts'

export const PATIENCE_MS = 10_000
/** Handshakes of one user in a window. */
export const HANDSHAKES = 3
/** Its members are known to the node before anything is taken away. */
export const KNOWN_GROUP = 'known'
const TOPICS = ['group_msg', 'membership_change', 'read_receipt_events']

/** How somebody was refused. */
export interface Answer { readonly by: RefusedBy, readonly code: string, readonly status?: number, readonly retryAfterS?: number, readonly retryable?: boolean }

export interface Outside { stop (): void, start (): Promise<unknown> }

export interface DegradedWorld {
  readonly node: TestApp
  readonly im: ImCaller
  readonly etcd: FakeEtcd
  readonly auth: FakeServices
  readonly users: FakeServices
  readonly redis: FakeRedis
  readonly kafka: FakeCluster
  readonly outside: Readonly<Record<Dependency, Outside>>
  /** Live, and members of every group. */
  readonly ann: DemoClient
  readonly bob: DemoClient
  readonly report: () => Promise<{ readonly status: number, readonly report: HealthReport }>
  /** A record of a group, at the end of its partition. */
  readonly produce: (groupId: string, msgId: string) => Promise<unknown>
  /** The offset of the next one. */
  readonly end: () => number
}

/** Everything is there, and the node has said so; all ends with the test. */
export async function startDegradedWorld (t: Test): Promise<DegradedWorld> {
  const world = await startWorld()
  const [auth, users] = [await new FakeServices().start(), await new FakeServices().start()]
  const [etcd, redis, kafka] = [await new FakeEtcd(world.store).start(), await new FakeRedis().start(), new FakeCluster()]
  for (const topic of TOPICS) kafka.ends.set(topic, [0])
  const read = async (): Promise<void> => {
    await eventually(() => kafka.consumers.length > 0 && kafka.consumer.settings !== undefined && !kafka.consumer.isOver, PATIENCE_MS)
    kafka.consumer.fetch()
  }
  const outside: Record<Dependency, Outside> = {
    auth,
    im: world.services,
    user: users,
    etcd,
    redis,
    kafka: {
      stop: () => {
        kafka.failure = new Error('connect ECONNREFUSED 10.1.2.3:9092')
        kafka.consumer.emit('crash', { error: kafka.failure })
      },
      start: async () => {
        kafka.failure = undefined
        await read()
      }
    }
  }
  const node = await startNode(world, {
    AUTH_SERVICE_ADDR: auth.address,
    USER_SERVICE_ADDR: users.address,
    ETCD_ENDPOINTS: etcd.address,
    REDIS_ADDR: redis.address,
    KAFKA_BROKERS: '10.1.2.3:9092',
    HANDSHAKE_LIMITER: 'redis',
    HANDSHAKES_PER_USER: String(HANDSHAKES),
    GRPC_AUTH_TOKEN: BEARER,
    IM_TIMEOUT: '1s',
    IM_ATTEMPT_TIMEOUT: '500ms',
    AUTH_TIMEOUT: '500ms',
    ETCD_TIMEOUT: '500ms'
  }, { kv: undefined, bus: undefined, sharedCache: undefined, openKafka: () => kafka.open() })
  t.teardown(async () => {
    await node.close()
    for (const dependency of [auth, users, world.services, etcd, redis]) dependency.stop()
  })
  await read()
  for (const group of [KNOWN_GROUP, 'fresh']) users.users.groups.set(group, ['ann', 'bob'])
  const [ann, bob] = [await node.connect('ann'), await node.connect('bob')]
  let end = 0
  return {
    node,
    im: imCaller(t, node),
    etcd,
    auth,
    users,
    redis,
    kafka,
    outside,
    ann,
    bob,
    report: async () => {
      const response = await fetch(`http://127.0.0.1:${node.port}/readyz`)
      return { status: response.status, report: await response.json() as HealthReport }
    },
    produce: (groupId, msgId) => {
      const record = { msg_id: msgId, group_id: groupId, sender_id: 'ann', content: 'hi', message_type: 'text', sequence_number: end + 1, timestamp: 1 }
      return kafka.consumer.batch('group_msg', 0, end++, [JSON.stringify(record)], { key: groupId })
    },
    end: () => end
  }
}

/** Tries to connect; undefined where the client was let in, and then it leaves again. */
export async function refusedUpgrade ({ node }: DegradedWorld, userId: string, token = tokenFor(userId)): Promise<Answer | undefined> {
  const socket = new WebSocket(node.url, { headers: { authorization: `Bearer ${token}` } })
  socket.on('error', () => {})
  const response = await new Promise<IncomingMessage | undefined>((resolve) => {
    socket.once('open', () => { resolve(undefined) })
    socket.once('unexpected-response', (_request, answer) => { resolve(answer) })
  })
  if (response === undefined) {
    socket.close()
    await once(socket, 'close')
    return undefined
  }
  let body = ''
  for await (const chunk of response) body += String(chunk)
  const { error_code: code } = JSON.parse(body) as { error_code: string }
  return { by: 'http', code, status: response.statusCode ?? 0, retryAfterS: Number(response.headers['retry-after']) }
}

/** How the gateway answers a message; undefined: with an ack. */
export async function refusedMessage (client: DemoClient, recipient: string, msgId?: string): Promise<Answer | undefined> {
  try {
    await client.send(recipient, 'hi', msgId === undefined ? {} : { msgId })
    return undefined
  } catch (error) {
    if (!(error instanceof SendError)) throw error
    return { by: 'frame', code: error.code, retryable: error.frame['retryable'] === true }
  }
}

/** How a push to a user is refused; undefined: it is not. */
export async function refusedPush ({ im }: DegradedWorld, recipientId: string): Promise<Answer | undefined> {
  try {
    await im.push({ recipientId, msgId: `p-${recipientId}` })
    return undefined
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    return { by: 'grpc', code: error.code }
  }
}
