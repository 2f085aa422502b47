import t from 'tap'
import { ANSWER_TIMEOUT_MS, HANG_TIMEOUT_MS, WorkerPool, type WorkerEvents } from '../../../src/workers/worker-pool.ts'
import { FakeLogger, FakeMeter } from '../../helpers/fakes.ts'
import { ManualClock } from '../../helpers/manual-clock.ts'

interface Call { readonly kind: string, readonly id: number, readonly name: string, readonly argument: unknown }

const TIMES = { delayMs: 0, timeoutMs: 3_000, final: true }

class FakeWorker {
  readonly calls: string[] = []
  /** What came with the latest call. */
  argument: unknown
  readonly #events: WorkerEvents
  /** Answers to calls by name; silent where there is none. */
  answers: Readonly<Record<string, unknown>> = { ping: null, startDrain: null, ask: 'yes' }
  killed = false

  constructor (events: WorkerEvents) {
    this.#events = events
  }

  serves (): void { this.#events.onMessage({ kind: 'call', id: 1, name: 'ready', argument: undefined }) }
  asks (name: string): void { this.#events.onMessage({ kind: 'call', id: 2, name, argument: undefined }) }
  ends (how: number | string): void { this.#events.onExit(how) }

  send (message: object): void {
    const { kind, id, name, argument } = message as Call
    if (kind !== 'call') return
    this.calls.push(name)
    this.argument = argument
    if (Object.hasOwn(this.answers, name)) queueMicrotask(() => { this.#events.onMessage({ kind: 'result', id, value: this.answers[name] }) })
  }

  kill (): void {
    this.killed = true
    queueMicrotask(() => { this.ends('SIGKILL') })
  }
}

function world (count = 3) {
  const clock = new ManualClock()
  const logger = new FakeLogger()
  const meter = new FakeMeter()
  const spawned: FakeWorker[][] = Array.from({ length: count }, () => [])
  let pid = 1
  const pool = new WorkerPool({
    count,
    nameOf: (index) => `gw-${index}`,
    clock,
    logger,
    meter,
    handlers: { status: () => 'of all' },
    spawn: (index, events) => {
      const worker = new FakeWorker(events)
      spawned[index]?.push(worker)
      return { pid: pid++, send: (message) => { worker.send(message) }, kill: () => { worker.kill() } }
    }
  })
  const latest = (index: number): FakeWorker => spawned[index]?.at(-1) as FakeWorker
  const all = (): FakeWorker[] => spawned.map((_, index) => latest(index))
  const serving = async (): Promise<void> => {
    const started = pool.start()
    for (const worker of all()) worker.serves()
    await started
  }
  return { clock, logger, meter, pool, spawned, latest, all, serving }
}

t.test('the start is through when all serve, and fails with the first that ends before', async (t) => {
  const { pool, all, meter } = world()
  let through = false
  const started = pool.start().then(() => { through = true })
  for (const worker of all().slice(0, 2)) worker.serves()
  await new Promise(setImmediate)
  t.notOk(through)
  t.equal(meter.gauge('workers'), 2)
  all()[2]?.serves()
  await started
  t.equal(pool.ready, 3)

  const failing = world()
  const failed = t.rejects(failing.pool.start(), { message: 'gw-1 ended with 1 before it served' })
  failing.latest(0).serves()
  failing.latest(1).ends(1)
  await failed
  t.ok(failing.latest(0).killed && failing.latest(2).killed, 'nothing is left behind')
  await failing.clock.run(60_000)
  t.strictSame(failing.spawned.map(({ length }) => length), [1, 1, 1])
})

t.test('a worker that dies is replaced, later and later while it does not last', async (t) => {
  const { clock, latest, meter, serving, spawned, pool } = world(2)
  await serving()
  const starts: number[] = []
  for (let i = 0; i < 10; i++) {
    latest(1).ends('SIGSEGV')
    const from = clock.monotonicMs()
    const count = spawned[1]?.length ?? 0
    while (spawned[1]?.length === count) await clock.run(50)
    starts.push(clock.monotonicMs() - from)
    if (i % 2 === 0) latest(1).serves()
  }
  t.strictSame(starts, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000])
  t.equal(pool.ready, 1)
  latest(1).serves()
  await clock.run(60_000)
  latest(1).ends(0)
  await clock.run(0)
  t.equal(spawned[1]?.length, 12, 'one that lasted is replaced at once')
  t.equal(meter.counters.get('worker_restarts_total'), 11)
  t.equal(spawned[0]?.length, 1)
})

t.test('a worker whose loop hangs is killed and replaced', async (t) => {
  const { clock, latest, serving, spawned, logger } = world(2)
  await serving()
  await clock.run(60_000)
  t.ok(latest(0).calls.filter((name) => name === 'ping').length >= 10)
  const hung = latest(0)
  hung.answers = {}
  await clock.run(5_000 + HANG_TIMEOUT_MS)
  t.ok(hung.killed)
  await clock.run(100)
  t.equal(spawned[0]?.length, 2)
  t.equal(spawned[1]?.length, 1)
  t.ok(logger.lines.some(({ level, text }) => level === 'error' && text.includes('does not answer')))
})

t.test('all are asked at once; one that is silent or gone has no answer', async (t) => {
  const { clock, latest, pool, serving } = world()
  await serving()
  latest(1).answers = {}
  const asked = pool.ask('ask')
  await clock.run(ANSWER_TIMEOUT_MS)
  t.strictSame(await asked, [{ worker: 'gw-0', value: 'yes' }, { worker: 'gw-1', value: undefined }, { worker: 'gw-2', value: 'yes' }])
  latest(1).answers = { ask: 'again' }
  latest(2).ends(1)
  t.strictSame((await pool.ask('ask')).at(2), { worker: 'gw-2', value: undefined })
  latest(0).ends(1)
  t.equal(await pool.askOne('ask'), 'again', 'the first that serves')
  latest(1).answers = {}
  const one = pool.askOne('ask')
  await clock.run(ANSWER_TIMEOUT_MS)
  t.equal(await one, undefined)
})

t.test('[GW-OBS-5] one that is replaced during a drain drains as well', async (t) => {
  const { clock, latest, pool, serving } = world(1)
  await serving()
  pool.setDraining(true)
  latest(0).ends(1)
  await clock.run(100)
  latest(0).serves()
  t.ok(latest(0).calls.includes('startDrain'))
  pool.setDraining(false)
  latest(0).ends(1)
  await clock.run(200)
  latest(0).serves()
  t.notOk(latest(0).calls.includes('startDrain'))
})

t.test('[GW-END-1] [GW-END-3] the end is told to all, with its times, and waited for; nobody is replaced any more', async (t) => {
  const { clock, latest, pool, serving, spawned } = world()
  await serving()
  latest(0).ends(1)
  const ended = pool.end(TIMES)
  t.strictSame([1, 2].map((index) => [latest(index).calls.at(-1), latest(index).argument]), [['end', TIMES], ['end', TIMES]])
  latest(1).ends(0)
  latest(2).ends(0)
  await ended
  await clock.run(60_000)
  t.strictSame(spawned.map(({ length }) => length), [1, 1, 1])
  t.equal(clock.pendingTimers, 0)

  const bad = world()
  await bad.serving()
  const end = t.rejects(bad.pool.end(TIMES), { message: 'gw-1 ended with SIGKILL' })
  for (const [index, how] of [0, 'SIGKILL', 0].entries()) bad.latest(index).ends(how)
  await end

  const starting = world()
  void starting.pool.start()
  const over = starting.pool.end(TIMES)
  starting.latest(1).serves()
  t.strictSame(starting.latest(1).calls, ['end', 'end'], 'one that had not listened yet is told again')
  t.strictSame(starting.latest(1).argument, TIMES)
  for (const worker of starting.all()) worker.ends(0)
  await over
})
