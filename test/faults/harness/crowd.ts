/** The registrations of a large node without its sockets, on an etcd of their own. */
import { setTimeout as pause } from 'node:timers/promises'
import { Etcd3 } from 'etcd3'
import type { Test } from 'tap'
import { EtcdKv } from '../../../plugins/lib/etcd-kv.ts'
import { systemClock } from '../../../src/embedded/system-clock.ts'
import type { Meter } from '../../../src/ports.ts'
import { ClusterRegistry } from '../../../src/registry/cluster-registry.ts'
import { USERS } from '../../../src/registry/records.ts'
import { eventually } from '../../helpers/bus-conformance.ts'
import { FakeHealth, FakeLogger, FakeMeter } from '../../helpers/fakes.ts'
import { startService } from '../../helpers/services.ts'
import { TcpProxy } from '../../helpers/tcp-proxy.ts'

const TTL_MS = 10_000
const BEYOND_TTL_MS = 15_000
/** Sessions that wait for their put at a time. */
const AT_ONCE = 2_000

/** So many sessions whose leases end while etcd is cut off: the milliseconds from its end until etcd has all of them again. */
export async function registerAgain (t: Test, sessions: number, patienceMs: number): Promise<number> {
  const services = await startService(['etcd'])
  t.teardown(() => services.stop())
  const address = services.address('ETCD_ENDPOINTS')
  const admin = new Etcd3({ hosts: address })
  const line = await TcpProxy.to(address.replace('http://', ''))
  const kv = new EtcdKv({ endpoints: [`http://${line.address}`], timeoutMs: 3_000, clock: systemClock, health: new FakeHealth() })
  const registry = new ClusterRegistry({
    kv,
    clock: systemClock,
    meter: new FakeMeter() as Meter,
    logger: new FakeLogger(),
    nodeId: 'node-a',
    startId: 'start',
    version: '1.0.0',
    maxDevicesPerUser: 5,
    ttlMs: TTL_MS,
    renewIntervalMs: 3_000,
    admissionTimeoutMs: 1_500,
    registrationTimeoutMs: 5_000,
    cacheTtlMs: 600_000,
    routeCacheEntries: 1_000,
    random: Math.random
  })
  registry.listen({ onReplaced: () => {}, onRevoked: () => {} })
  t.teardown(async () => {
    await registry.close()
    await kv.close()
    admin.close()
    line.close()
  })
  await registry.start('127.0.0.1:1')
  const admission = await registry.admit('u0', 'phone')
  if (!admission.ok) throw new Error(`nobody is admitted: ${admission.code}`)
  for (let from = 0; from < sessions; from += AT_ONCE) {
    const outcomes = await Promise.all(Array.from({ length: Math.min(AT_ONCE, sessions - from) }, (_, i) => registry.register({ connectionId: `start.${from + i}`, userId: `u${from + i}`, deviceId: 'phone', openedAtUnixMs: 1 }, admission.revision)))
    if (outcomes.some((outcome) => outcome !== 'registered')) throw new Error(`not all are registered: ${[...new Set(outcomes)].join(', ')}`)
  }
  const inEtcd = (): Promise<number> => admin.getAll().prefix(USERS).count()
  line.cut()
  await pause(BEYOND_TTL_MS)
  await eventually(async () => await inEtcd() === 0, patienceMs)
  const healedMs = performance.now()
  line.heal()
  // Asked only once it is answered: to count them again and again would keep etcd from its work.
  await eventually(() => registry.registered === sessions, patienceMs)
  const againMs = Math.round(performance.now() - healedMs)
  t.equal(await inEtcd(), sessions, 'etcd has them all')
  return againMs
}
