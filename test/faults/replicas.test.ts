/** What befalls one replica of the IM Service while the others live: those who write hear next to nothing of it. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import { listenIm } from '../../demo/services/im-server.ts'
import { TcpProxy } from '../helpers/tcp-proxy.ts'
import type { FaultWorld } from './harness/fault-world.ts'
import { isLong, PATIENCE_MS, row } from './harness/row.ts'

const SIZES = { people: 200, groups: 10, groupSize: 20 }
const PER_SECOND = 200
const NODES = ['node-a', 'node-b']
const TRAFFIC_MS = isLong ? 60_000 : 15_000
/** As gRPC servers renew their connections; at 2 s, and what is not done a second later is cut. */
const AGE = { 'grpc.max_connection_age_ms': 2_000, 'grpc.max_connection_age_grace_ms': 1_000 }
const MAX_ERROR_SHARE = 0.001

const replicas = (...addresses: readonly string[]): Record<string, string> => ({ IM_SERVICE_ADDR: `ipv4:${addresses.join()}` })
const errors = (world: FaultWorld) => world.ledger.entries.filter((entry) => entry.kind === 'error')

row('M3', '[GW-SND-4] replicas of the IM Service that end their connections each two seconds, and one after the other restart, are hardly noticed', { nodes: [] }, async (t, world) => {
  const hosts = [await listenIm(world.world.im, 0, AGE), await listenIm(world.world.im, 0, AGE)]
  t.teardown(() => Promise.all(hosts.map((host) => host.close())))
  const addresses = hosts.map(({ address }) => address)
  for (const node of NODES) await world.startNode(node, replicas(...addresses))
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const restart = async (): Promise<void> => {
    for (const [i, address] of addresses.entries()) {
      await pause(TRAFFIC_MS / 2)
      await hosts[i]?.close()
      hosts[i] = await listenIm(world.world.im, Number(address.split(':')[1]), AGE)
    }
    await pause(TRAFFIC_MS / 2)
  }
  const written = await population.write(PER_SECOND, restart())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0, returns: 0 })
  const retries = await world.count('upstream_retries_total{', 'service="im"')
  const share = errors(world).length / written
  t.ok(retries > 0, 'calls were cut off')
  t.ok(share <= MAX_ERROR_SHARE, `${errors(world).length} errors in ${written} messages`)
  return { written, retries, errors: errors(world).length, errorPercent: Math.round(share * 10_000) / 100, lost: verdict.lost }
})

const FAILURES_END_MS = 8_000
const SILENT_MS = isLong ? 60_000 : 20_000

/** Two replicas, of which the second is reached through a proxy. */
async function twoReplicas (t: Test, world: FaultWorld): Promise<TcpProxy> {
  const hosts = [await listenIm(world.world.im), await listenIm(world.world.im)] as const
  t.teardown(() => Promise.all(hosts.map((host) => host.close())))
  const way = await TcpProxy.to(hosts[1].address)
  t.teardown(() => { way.close() })
  for (const node of NODES) await world.startNode(node, replicas(hosts[0].address, way.address))
  return way
}

row('M4', '[GW-SND-4] a replica of the IM Service that falls silent costs errors for eight seconds, and no message', { nodes: [] }, async (t, world) => {
  const way = await twoReplicas(t, world)
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  let silentMs = 0
  const fault = async (): Promise<void> => {
    await pause(2_000)
    silentMs = performance.now()
    way.freeze()
    await pause(SILENT_MS)
    way.thaw()
    await pause(2_000)
  }
  const written = await population.write(PER_SECOND, fault())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0, returns: 0 })
  const all = errors(world)
  const endMs = Math.round((all.at(-1)?.atMs ?? silentMs) - silentMs)
  const retries = await world.count('upstream_retries_total{', 'service="im"')
  t.ok(retries > 0, 'calls went into the dark')
  t.ok(all.every(({ retryable }) => retryable), 'every error may be tried again')
  t.ok(endMs <= FAILURES_END_MS, `the last error came after ${endMs} ms`)
  return { written, retries, errors: all.length, failuresEndMs: endMs, lost: verdict.lost }
})
