/** What happens on a node whose memory the kernel bounds, as a container's, while its clients do not read. */
import { setTimeout as pause } from 'node:timers/promises'
import { residentBytes } from '../../bench/lib/machine.ts'
import type { PushMessageRequest } from '../../src/generated/gateway/v1/gateway.ts'
import { MAX_COLLECT_INTERVAL_MS } from '../../src/overload.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { GroupTraffic } from './harness/group-traffic.ts'
import { knock } from './harness/knock.ts'
import { MemoryGroup } from './harness/memory-group.ts'
import { MIB } from './harness/process-figures.ts'
import { PATIENCE_MS, row } from './harness/row.ts'

const SLOW_READERS = 40
const NEIGHBOURS = 20
const CONTENT = 'x'.repeat(32_000)
const AT_ONCE = 100
const OUTBOXES_MIB = 64
/** What fills the memory are the outboxes of those who do not read, and they are closed for nothing else. */
const SETTINGS = { MEMBERSHIP_CACHE_BYTES: '1MB', AUTH_CACHE_SIZE: '1000', ROUTE_CACHE_SIZE: '1000', OUTBOX_BYTES: '16MB', OUTBOX_TOTAL_BYTES: `${OUTBOXES_MIB}MB`, WRITE_WAIT: '1m', ACK_TIMEOUT: '200ms' }
/** What the node may take when its outboxes are full; the rest is for garbage and bursts. */
const USABLE_SHARE = 0.8
/** Past this share of the outboxes newcomers are refused; past all of it somebody has to go. */
const FILLED_SHARE = 0.75
/** It may have collected its garbage just before there was room, and needs to hear of it after it has done so again. */
const RECOVERED_WITHIN_MS = MAX_COLLECT_INTERVAL_MS + 10_000

row('N5', '[GW-OVL-1] a node short of memory refuses newcomers and closes the slowest readers, keeps all others, lives, and takes newcomers again when it has room', { nodes: ['measure'], settings: SETTINGS }, async (t, world) => {
  const [measured] = world.nodes
  if (measured?.pid === undefined) throw new Error('the row needs a node that is a process')
  const restingMiB = Math.round(residentBytes(measured.pid) / MIB)
  const metrics = await world.metrics(measured.port)
  const heapMiB = (name: 'total' | 'used'): number => Number(new RegExp(`^nodejs_heap_size_${name}_bytes (\\d+)$`, 'm').exec(metrics)?.[1]) / MIB
  const inUseMiB = Math.round(restingMiB - heapMiB('total') + heapMiB('used'))
  await world.stop(measured)
  const limitMiB = Math.ceil((restingMiB + OUTBOXES_MIB) / USABLE_SHARE)
  const refusedPercent = Math.floor((inUseMiB + FILLED_SHARE * OUTBOXES_MIB) / limitMiB * 100)
  const group = MemoryGroup.create(t, `im-gateway-${world.run}`, limitMiB * MIB)
  // It finds its limit itself.
  const node = await world.startNode('node-a', { NODE_OPTIONS: group.nodeOptions, MAX_MEMORY_PERCENT: String(refusedPercent) })
  t.ok(group.has(node.pid), 'the kernel counts what it takes')
  const token = (name: string): string => world.world.auth.mint(`${name}-${world.run}`, 'phone').accessToken
  const users = Array.from({ length: NEIGHBOURS }, (_, i) => `neighbour${i}-${world.run}`)
  const traffic = new GroupTraffic(world, 1, users)
  const neighbours = await world.connect(t, users, PATIENCE_MS, node.url)
  traffic.start(20)
  const slow: RawClient[] = []
  t.teardown(() => { for (const client of slow) client.socket.destroy() })
  for (let i = 0; i < SLOW_READERS; i++) {
    const client = await RawClient.connect({ port: node.port, token: token(`slow${i}`) })
    client.socket.pause()
    slow.push(client)
  }

  let [pushed, refused, knocked] = [0, 0, 0]
  const pushing = { isOver: false }
  const lanes = Array.from({ length: AT_ONCE }, async () => {
    while (!pushing.isOver) {
      const i = pushed++
      const request: PushMessageRequest = { msgId: `m${i}`, recipientId: `slow${i % SLOW_READERS}-${world.run}`, deviceId: '', senderId: 'faults', content: CONTENT, messageType: 'text', sequenceNumber: 1n, timestamp: BigInt(Date.now()), conversationId: '', metadata: {}, excludeDeviceId: '', scope: 0 }
      // What becomes of a push to somebody who does not read is not looked at here.
      await world.world.gatewayClient.pushMessage(node.grpc, request, PATIENCE_MS).catch(() => {})
    }
  })
  const evicted = (): Promise<number> => world.count('evictions_total', 'limit="total"')
  await eventually(async () => {
    const isShort = await world.count('limit_used_ratio', 'limit="memory"') >= 1
    const answer = await knock(node.url, token(`late${knocked++}`))
    if (isShort && answer.status === 503 && (answer.retryAfterS ?? 0) > 0) refused++
    return refused > 0 && await evicted() > 0
  }, PATIENCE_MS).catch(() => {})
  pushing.isOver = true
  await Promise.all(lanes)
  const slowClosed = await evicted()
  t.ok(refused > 0, 'newcomers are refused and told to come back later')
  t.ok(slowClosed > 0, 'the slowest readers are closed')

  for (const client of slow) client.reset()
  const resetAtMs = performance.now()
  const isAdmitted = async (): Promise<boolean> => (await knock(node.url, token(`back${knocked++}`))).status === 101
  await eventually(isAdmitted, RECOVERED_WITHIN_MS).catch(() => {})
  const recoveredMs = Math.round(performance.now() - resetAtMs)
  await traffic.stop()
  await pause(1_000)
  const closes = neighbours.filter(({ sessions, state }) => sessions !== 1 || state !== 'open').length
  t.equal(closes, 0, 'who reads is kept')
  t.equal(await isAdmitted(), true, 'newcomers are let in again')
  t.ok(recoveredMs < RECOVERED_WITHIN_MS, 'soon after there is room')
  const { kills } = group
  t.equal(kills, 0, 'nobody is killed for memory')
  return { limitMiB, restingMiB, pushed, refused, slowClosed, closes, kills, recoveredMs }
})
