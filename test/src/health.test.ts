import { constants, PerformanceObserver, type NodeGCPerformanceDetail } from 'node:perf_hooks'
import fastify from 'fastify'
import t, { type Test } from 'tap'
import health, { type HealthOptions } from '../../plugins/health.ts'
import metrics from '../../plugins/metrics.ts'
import healthRoutes from '../../routes/healthz.ts'
import { KERNEL_CONNECTION_BYTES } from '../../src/capacity.ts'
import { HealthBoard, reportText } from '../../src/health.ts'
import { DELAY_RESOLUTION_MS, meanDelayMs, Overload, SAMPLE_INTERVAL_MS } from '../../src/overload.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { FakeLogger, FakeMeter } from '../helpers/fakes.ts'
import { ManualClock } from '../helpers/manual-clock.ts'

function board () {
  const [clock, meter, logger] = [new ManualClock(), new FakeMeter(), new FakeLogger()]
  let overload: string | undefined
  const health = new HealthBoard({ clock, meter, logger, dependencies: ['etcd', 'redis', 'kafka'], overload: () => overload })
  return { clock, meter, logger, health, overload: (reason: string | undefined) => { overload = reason } }
}

t.test('[GW-OBS-4] readiness fails only while starting, draining or overloaded', async (t) => {
  const { health, meter, overload } = board()
  t.equal(health.notReadyReason(), 'starting')
  t.equal(meter.gauge('ready'), 0)
  health.serving()
  t.equal(health.report().ready, true)
  t.equal(meter.gauge('ready'), 1)
  overload('memory')
  t.match(health.report(), { ready: false, phase: 'serving', reason: 'overloaded: memory' })
  overload(undefined)
  health.draining()
  t.match(health.report(), { ready: false, phase: 'draining', reason: 'draining' })
  t.equal(meter.gauge('draining'), 1)
  health.serving()
  t.equal(health.report().ready, true)
})

t.test('[GW-OBS-4] a dependency that falls away is named with its time and does not flip readiness', async (t) => {
  const { health, clock, meter, logger } = board()
  health.serving()
  health.up('etcd')
  clock.advance(5000)
  health.down('redis', 'no answer in 200ms')
  clock.advance(1000)
  health.down('redis', 'still none')
  const report = health.report()
  t.equal(report.ready, true)
  t.match(report.dependencies, {
    etcd: { state: 'up', since: '2023-11-14T22:13:20.000Z' },
    redis: { state: 'down', since: '2023-11-14T22:13:25.000Z', detail: 'still none' },
    kafka: { state: 'unknown' }
  })
  t.equal(meter.gauge('degraded redis'), 1)
  t.equal(meter.gauge('degraded etcd'), 0)
  t.equal(logger.lines.filter(({ level }) => level === 'warn').length, 1, 'told once')
  health.up('redis')
  t.equal(health.report().dependencies.redis?.detail, undefined)
  t.match(logger.lines.at(-1), { level: 'info', text: 'dependency answers again' })
  health.down('user', 'not one of ours')
  t.notOk('user' in health.report().dependencies)
  const lines = reportText(health.report()).split('\n')
  t.equal(lines.filter((line) => /^ {2}"\w+": \{"state":/.test(line)).length, 3, 'one line for each dependency')
  t.same(JSON.parse(lines.join('\n')), JSON.parse(JSON.stringify(health.report())))
})

t.test('[GW-OBS-4] why a dependency is down is told to everybody without an address, and logged with it', async (t) => {
  const { health, logger } = board()
  for (const [detail, told] of [
    ['connect ECONNREFUSED 10.0.0.5:2379', 'connect ECONNREFUSED (address)'],
    ['connect ECONNREFUSED ::1:6379', 'connect ECONNREFUSED (address)'],
    ['14 UNAVAILABLE: Name resolution failed for target dns:etcd.internal:2379', '14 UNAVAILABLE: Name resolution failed for target (address)'],
    ['getaddrinfo ENOTFOUND kafka.internal', 'getaddrinfo ENOTFOUND (address)'],
    ['no route to 10.0.0.5', 'no route to (address)'],
    ['topic group_msg: no answer in 200ms', 'topic group_msg: no answer in 200ms']
  ] as const) {
    health.up('etcd')
    health.down('etcd', detail)
    t.equal(health.report().dependencies.etcd?.detail, told)
    t.match(logger.lines.at(-1), { level: 'warn', facts: { detail } })
  }
})

t.test('[GW-OBS-4] readiness waits for the first fetch of the bus, and no longer than its time', async (t) => {
  const { health, clock, logger } = board()
  health.serving()
  let fetched = (): void => {}
  health.waitForBus(new Promise((resolve) => { fetched = resolve }), 60_000)
  t.match(health.notReadyReason(), /first fetch/)
  await clock.run(59_999)
  t.match(health.notReadyReason(), /first fetch/)
  fetched()
  await clock.run(0)
  t.equal(health.notReadyReason(), undefined)
  t.equal(clock.pendingTimers, 0)
  health.waitForBus(new Promise(() => {}), 60_000)
  await clock.run(60_000)
  t.equal(health.notReadyReason(), undefined, 'its time is up')
  t.match(logger.lines.at(-1), { level: 'warn' })
  health.waitForBus(Promise.reject(new Error('never')), 60_000)
  await clock.run(1)
  t.match(health.notReadyReason(), /first fetch/)
  health.stop()
  t.equal(clock.pendingTimers, 0)
})

function overload () {
  const state = { connections: 0, eventLoopDelayMs: 0, inUseBytes: 0, residentBytes: 0 }
  const meter = new FakeMeter()
  const overload = new Overload({
    maxConnections: 100, maxEventLoopDelayMs: 200, maxMemoryBytes: 10_000_000, maxResidentBytes: 20_000_000, connections: () => state.connections, sample: () => state, collect: () => {}, clock: new ManualClock(), meter
  })
  return { state, meter, overload }
}

t.test('[GW-OVL-1] a stall counts as delay whether the histogram saw it or the sample alone', async (t) => {
  const onTime = DELAY_RESOLUTION_MS * 1e6
  t.equal(meanDelayMs({ count: 4, mean: onTime }, 0), 0)
  t.equal(meanDelayMs({ count: 4, mean: onTime }, 3_000), 600, 'only the sample was late')
  t.equal(meanDelayMs({ count: 2, mean: onTime + 1_500e6 }, 3_000), 2_000, 'both were')
  t.equal(meanDelayMs({ count: 4, mean: onTime + 50e6 }, 50), 50, 'as late as the others')
  t.equal(meanDelayMs({ count: 4, mean: onTime - 1e6 }, -1), 0, 'timers of the loop may be early by less than they tell')
  t.equal(meanDelayMs({ count: 0, mean: NaN }, 20), SAMPLE_INTERVAL_MS, 'nothing was seen at all')
  t.equal(meanDelayMs({ count: 0, mean: NaN }, 3_000), 3_000)
})

t.test('[GW-OVL-1] upgrades are refused at the limit of connections, delay or memory', async (t) => {
  const { state, overload: guard, meter } = overload()
  t.equal(guard.shouldRefuse(), undefined)
  state.connections = 99
  t.equal(guard.shouldRefuse(), undefined)
  state.connections = 100
  t.equal(guard.shouldRefuse(), 'connections')
  state.connections = 0
  state.eventLoopDelayMs = 200
  t.equal(guard.shouldRefuse(), 'delay')
  t.equal(meter.gauge('event_loop_delay_seconds'), 0.2)
  state.eventLoopDelayMs = Infinity
  t.equal(guard.shouldRefuse(), 'delay', 'a loop that never turned')
  state.eventLoopDelayMs = 0
  state.inUseBytes = 10_000_000
  t.equal(guard.shouldRefuse(), 'memory')
  state.inUseBytes = 9_900_000
  state.connections = 50
  t.equal(guard.shouldRefuse(), 'memory', 'the part of the kernel counts as well')
  state.inUseBytes = 1_000_000
  state.residentBytes = 18_000_000
  t.equal(guard.shouldRefuse(), undefined, 'what is kept for later is room')
  state.residentBytes = 19_900_000
  t.equal(guard.shouldRefuse(), 'memory', 'but not without bound')
})

t.test('[GW-OBS-1] a metric says how much of each limit is in use, and is 1 where upgrades begin to be refused', async (t) => {
  const { state, meter } = overload()
  const used = (): Array<number | undefined> => ['connections', 'delay', 'memory'].map((limit) => meter.gauge(`limit_used_ratio ${limit}`))
  t.strictSame(used(), [0, 0, 0])
  state.eventLoopDelayMs = 50
  state.residentBytes = 18_000_000
  t.strictSame(used(), [0, 0.25, 0.9], 'of the limit of memory that is nearer')
  state.inUseBytes = 10_000_000
  t.strictSame(used(), [0, 0.25, 1])
  state.connections = 80
  t.strictSame(used(), [0.8, 0.25, 1 + 80 * KERNEL_CONNECTION_BYTES / 10_000_000], 'the part of the kernel counts as well')
})

t.test('[GW-OVL-1] what was over its limit has to be clearly below before it counts as over no more', async (t) => {
  const { state, overload: guard } = overload()
  state.eventLoopDelayMs = 210
  guard.shouldRefuse()
  state.eventLoopDelayMs = 190
  t.equal(guard.shouldRefuse(), 'delay')
  state.eventLoopDelayMs = 149
  t.equal(guard.shouldRefuse(), undefined)
  state.eventLoopDelayMs = 190
  t.equal(guard.shouldRefuse(), undefined)
  state.inUseBytes = 10_000_001
  t.equal(guard.state(), 'memory')
  state.inUseBytes = 9_600_000
  t.equal(guard.state(), 'memory')
  state.inUseBytes = 9_000_000
  t.equal(guard.state(), undefined)
  state.connections = 100
  t.equal(guard.state(), 'connections')
  state.connections = 99
  t.equal(guard.state(), 'connections', 'readiness does not flap at the limit')
  t.equal(guard.shouldRefuse(), undefined, 'a free place is given all the same')
  state.connections = 97
  t.equal(guard.state(), undefined)
})

async function app (t: Test, changes: Partial<HealthOptions> = {}) {
  const app = fastify()
  t.teardown(() => app.close())
  await app.register(metrics, { version: '0', processMetrics: false })
  await app.register(health, {
    clock: new ManualClock(), dependencies: ['etcd'], maxConnections: 10, maxEventLoopDelayMs: 1e9, maxMemoryBytes: 1e12, maxResidentBytes: 1e12, connections: () => 0, ...changes
  })
  await app.register(healthRoutes, { status: { health: async () => app.health.report() } })
  return app
}

t.test('[GW-OBS-4] the routes answer what the board says', async (t) => {
  const server = await app(t)
  t.equal((await server.inject('/healthz')).statusCode, 200)
  t.equal((await server.inject('/readyz')).statusCode, 503)
  server.health.serving()
  server.health.down('etcd', 'away')
  const ready = await server.inject('/readyz')
  t.equal(ready.statusCode, 200)
  t.match(ready.json(), { ready: true, dependencies: { etcd: { state: 'down', detail: 'away' } } })
  t.equal(ready.headers['cache-control'], 'no-store')
})

t.test('[GW-OVL-1] [GW-OBS-4] an overloaded node still answers its health routes and says why it is not ready', async (t) => {
  const server = await app(t, { sample: () => ({ eventLoopDelayMs: 1e10, inUseBytes: 0, residentBytes: 0 }) })
  server.health.serving()
  t.equal((await server.inject('/healthz')).statusCode, 200)
  const ready = await server.inject('/readyz')
  t.equal(ready.statusCode, 503)
  t.match(ready.json(), { ready: false, reason: 'overloaded: delay' })
})

t.test('[GW-OVL-1] a process that is over its limit of memory collects its garbage', async (t) => {
  let forced = 0
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind, flags = 0 } = (entry as unknown as { detail: NodeGCPerformanceDetail }).detail
      if (kind === constants.NODE_PERFORMANCE_GC_MAJOR && (flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) !== 0) forced++
    }
  })
  observer.observe({ entryTypes: ['gc'] })
  t.teardown(() => { observer.disconnect() })
  const server = await app(t, { maxMemoryBytes: 1 })
  await eventually(() => forced > 0, 5_000)
  t.equal(server.overload.shouldRefuse(), 'memory')
})
