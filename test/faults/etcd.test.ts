/** What befalls etcd under three nodes: afterwards the registry is the truth again, and no socket was closed for it. */
import { performance } from 'node:perf_hooks'
import { Etcd3 } from 'etcd3'
import t from 'tap'
import { DemoClient } from '../../demo/client.ts'
import { deviceKey, parseRoute, USERS } from '../../src/registry/records.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { startNodes } from '../helpers/node-processes.ts'
import { TcpProxy } from '../helpers/tcp-proxy.ts'

t.setTimeout(290_000)

const PEOPLE = 300
const AT_ONCE = 50
/** Of them leave during each fault. */
const LEAVERS = 30
const TTL_MS = 15_000
const SHORT_MS = 10_000
const LONG_MS = 20_000
const REPAIRED_MS = 30_000
const pause = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })

t.test('[GW-CON-6] etcd stops, freezes, or compacts while it cannot be reached: the registry is repaired and nobody is closed', async (t) => {
  let proxy: TcpProxy | undefined
  const { world, outside, services, nodes, run } = await startNodes(t, ['node-a', 'node-b', 'node-c'], {
    ttlMs: TTL_MS,
    throughProxy: async (address) => {
      proxy = await TcpProxy.to(address)
      return proxy.address
    }
  })
  t.teardown(() => { proxy?.close() })
  const admin = new Etcd3({ hosts: services.address('ETCD_ENDPOINTS') })
  t.teardown(() => { admin.close() })

  const clients = new Map<string, DemoClient>()
  const wasClosed: string[] = []
  const connect = async (i: number): Promise<void> => {
    const userId = `e${i}-${run}`
    const client = await DemoClient.connect({ url: nodes[i % nodes.length]?.url ?? '', token: world.auth.mint(userId, 'phone').accessToken, timeoutMs: REPAIRED_MS })
    clients.set(userId, client)
    void client.closed(1_000_000).then(({ code }) => { if (clients.get(userId) === client) wasClosed.push(`${userId} ${code}`) })
  }
  const connectAll = async (): Promise<void> => {
    const missing = Array.from({ length: PEOPLE }, (_, i) => i).filter((i) => !clients.has(`e${i}-${run}`))
    for (let at = 0; at < missing.length; at += AT_ONCE) await Promise.all(missing.slice(at, at + AT_ONCE).map(connect))
  }
  const leave = async (): Promise<void> => {
    const some = [...clients].slice(0, LEAVERS)
    for (const [userId] of some) clients.delete(userId)
    await Promise.all(some.map(([, client]) => client.close()))
  }
  /** Whether etcd holds what is connected, and nothing else. */
  const isTrue = async (): Promise<boolean> => {
    const { entries } = await outside.kv.range(USERS, { prefix: true })
    const truth = new Map([...clients].map(([userId, client]) => [deviceKey(userId, 'phone'), client.welcome['connection_id']]))
    return entries.length === truth.size && entries.every(({ key, value }) => truth.get(key) === parseRoute(value)?.conn)
  }

  for (let i = 0; i < PEOPLE; i++) world.users.addUser(`e${i}-${run}`)
  await connectAll()
  await eventually(isTrue, REPAIRED_MS)

  const faults: ReadonlyArray<readonly [name: string, strike: () => Promise<void>, mend: () => Promise<void>]> = [
    ['stopped for less than the TTL', async () => { await services.kill('etcd1'); await leave(); await pause(SHORT_MS) }, () => services.restart('etcd')],
    ['stopped for longer than the TTL', async () => { await services.kill('etcd1'); await leave(); await pause(LONG_MS) }, () => services.restart('etcd')],
    ['frozen for longer than the TTL', async () => { await services.freeze('etcd1'); await leave(); await pause(LONG_MS) }, () => services.thaw('etcd1')],
    ['compacted while cut off, with keys deleted', async () => {
      proxy?.cut()
      await leave()
      for (const key of [...clients.keys()].slice(0, LEAVERS)) await admin.delete().key(deviceKey(key, 'phone'))
      for (let i = 0; i < 100; i++) await admin.put('/elsewhere').value(String(i))
      const { header } = await admin.kv.range({ key: Buffer.from('/elsewhere') })
      await admin.kv.compact({ revision: header.revision, physical: true })
      await pause(SHORT_MS)
    }, async () => { proxy?.heal() }]
  ]
  for (const [name, strike, mend] of faults) {
    await strike()
    await mend()
    const mended = performance.now()
    await eventually(() => isTrue().catch(() => false), REPAIRED_MS).catch(() => {})
    const tookMs = Math.round(performance.now() - mended)
    t.comment(`${name}: true again after ${tookMs} ms`)
    t.ok(await isTrue(), name)
    t.strictSame(wasClosed, [], 'no socket was closed for it')
    await connectAll()
    await eventually(isTrue, REPAIRED_MS)
  }
  for (const [userId, client] of [...clients]) {
    clients.delete(userId)
    await client.close()
  }
})
