/** What every ports.GroupBus has to do, whatever carries the records. */
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { BusRecord, GroupBus, Topic } from '../../src/ports.ts'

export interface BusWorld {
  /** Appends and resolves once the bus has the record. */
  produce (topic: Topic, key: string | null, value: string | null, headers?: Record<string, string>): Promise<{ partition: number, offset: string }>
  /** A node of its own: not started. The world stops what a test leaves running. */
  consumer (): GroupBus
  unixMs (): number
  /** Lets time pass, so that two moments can be told apart. */
  pass (byMs: number): Promise<void>
  /** How long a test may wait for something. */
  readonly patienceMs: number
}

/** Collects what a bus brings; wakes who waits for it. */
export class Sink {
  readonly records: BusRecord[] = []
  #waiters: Array<{ enough: () => boolean, resolve: () => void }> = []

  readonly handle = (record: BusRecord): void => {
    this.records.push(record)
    const ready = this.#waiters.filter(({ enough }) => enough())
    this.#waiters = this.#waiters.filter((waiter) => !ready.includes(waiter))
    for (const { resolve } of ready) resolve()
  }

  get values (): Array<string | null> { return this.records.map(valueOf) }

  /** Resolves once the sink has what the test wants; rejects after `patienceMs`, saying what is there. */
  async until (enough: (sink: Sink) => boolean, patienceMs: number): Promise<void> {
    if (enough(this)) return
    const { promise, resolve, reject } = deferred()
    this.#waiters.push({ enough: () => enough(this), resolve })
    const timer = setTimeout(() => {
      reject(new Error(`waited ${patienceMs} ms in vain; ${this.records.length} records, the last ones: ${this.values.slice(-5).join(', ')}`))
    }, patienceMs)
    try {
      await promise
    } finally {
      clearTimeout(timer)
    }
  }

  has (...values: string[]): (sink: Sink) => boolean {
    return ({ values: seen }) => values.every((value) => seen.includes(value))
  }
}

export const valueOf = ({ value }: BusRecord): string | null => value === null ? null : value.toString()

export function deferred (): { promise: Promise<void>, resolve: () => void, reject: (error: Error) => void } {
  let resolve = (): void => {}
  let reject = (_: Error): void => {}
  const promise = new Promise<void>((...settle) => { [resolve, reject] = settle })
  return { promise, resolve, reject }
}

/** Asks again and again, for what has no event; rejects after `patienceMs`. */
export async function eventually (holds: () => boolean | Promise<boolean>, patienceMs: number): Promise<void> {
  const deadlineMs = performance.now() + patienceMs
  while (!await holds()) {
    if (performance.now() > deadlineMs) throw new Error(`waited ${patienceMs} ms in vain`)
    await pause(20)
  }
}

/** Runs the suite. `withWorld` gives each test a fresh world and ends it. */
export function busConformance (name: string, withWorld: (run: (world: BusWorld) => Promise<void>) => Promise<void>): void {
  const test = (title: string, run: (t: Test, world: BusWorld) => Promise<void>): void => {
    t.test(`${name}: ${title}`, async (t) => { await withWorld((world) => run(t, world)) })
  }

  test('[GW-GRP-1] records of a key arrive in the order they were produced in, whole', async (t, world) => {
    const bus = world.consumer()
    const sink = new Sink()
    bus.start(sink.handle)
    await bus.ready
    for (let i = 0; i < 60; i++) await world.produce('group_msg', `group-${i % 5}`, `${i}`)
    await sink.until(({ records }) => records.length >= 60, world.patienceMs)
    for (let group = 0; group < 5; group++) {
      const seen = sink.records.filter(({ key }) => key?.toString() === `group-${group}`).map(valueOf)
      t.same(seen, Array.from({ length: 12 }, (_, i) => `${i * 5 + group}`))
    }
  })

  test('a record carries topic, partition, offset, key, value, time and traceparent', async (t, world) => {
    const bus = world.consumer()
    const sink = new Sink()
    bus.start(sink.handle)
    await bus.ready
    const before = world.unixMs()
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const { partition, offset } = await world.produce('read_receipt_events', 'alice', '{"a":1}', { traceparent })
    await world.produce('membership_change', 'g', 'plain')
    await sink.until(sink.has('{"a":1}', 'plain'), world.patienceMs)
    const traced = sink.records.find(({ topic }) => topic === 'read_receipt_events') as BusRecord
    t.match(traced, { partition, offset, traceparent })
    t.equal(traced.key?.toString(), 'alice')
    t.ok(traced.timestampMs >= before - 1 && traced.timestampMs <= world.unixMs() + 1)
    t.equal(sink.records.find(({ topic }) => topic === 'membership_change')?.traceparent, undefined)
  })

  test('a node starts at the end of the log', async (t, world) => {
    await world.produce('group_msg', 'g', 'before')
    const bus = world.consumer()
    const sink = new Sink()
    bus.start(sink.handle)
    await bus.ready
    await world.produce('group_msg', 'g', 'after')
    await sink.until(sink.has('after'), world.patienceMs)
    t.same(sink.values, ['after'])
  })

  test('[GW-GRP-1] two nodes each get everything', async (t, world) => {
    const nodes = [world.consumer(), world.consumer()].map((bus) => ({ bus, sink: new Sink() }))
    for (const { bus, sink } of nodes) bus.start(sink.handle)
    await Promise.all(nodes.map(({ bus }) => bus.ready))
    const values = Array.from({ length: 20 }, (_, i) => `v${i}`)
    for (const [i, value] of values.entries()) await world.produce('group_msg', `g${i}`, value)
    for (const { sink } of nodes) {
      await sink.until(sink.has(...values), world.patienceMs)
      t.equal(sink.records.length, values.length)
    }
  })

  test('null values, null keys and keys of any bytes pass', async (t, world) => {
    const bus = world.consumer()
    const sink = new Sink()
    bus.start(sink.handle)
    await bus.ready
    await world.produce('group_msg', 'g', null)
    await world.produce('group_msg', null, 'keyless')
    await world.produce('group_msg', '\u0000/ü"\n'.repeat(40), 'odd')
    await world.produce('group_msg', 'g', '')
    await sink.until(({ records }) => records.length >= 4, world.patienceMs)
    t.ok(sink.records.some(({ key, value }) => key?.toString() === 'g' && value === null))
    t.ok(sink.records.some((record) => record.key === null && valueOf(record) === 'keyless'))
    t.ok(sink.records.some(({ key }) => key?.toString().startsWith('\u0000/ü"\n') === true))
    t.ok(sink.records.some(({ value }) => value?.length === 0))
  })

  test('a handler that throws or rejects loses that record alone', async (t, world) => {
    const bus = world.consumer()
    const sink = new Sink()
    bus.start((record) => {
      sink.handle(record)
      if (valueOf(record) === 'throws') throw new TypeError('a fault of the handler')
      if (valueOf(record) === 'rejects') return Promise.reject(new TypeError('a fault of the handler'))
    })
    await bus.ready
    for (const value of ['throws', 'rejects', 'fine']) await world.produce('group_msg', 'g', value)
    await sink.until(sink.has('fine'), world.patienceMs)
    t.same(sink.values, ['throws', 'rejects', 'fine'])
  })

  test('[GW-GRP-4] a promise of the handler holds its partition alone, in order', async (t, world) => {
    const bus = world.consumer()
    const sink = new Sink()
    const gate = deferred()
    bus.start((record) => {
      sink.handle(record)
      if (valueOf(record) === 'hold') return gate.promise
    })
    await bus.ready
    const { partition } = await world.produce('group_msg', 'held', 'hold')
    const rest = ['next', 'last']
    for (const value of rest) await world.produce('group_msg', 'held', value)
    let other = 'other-0'
    for (let i = 1; (await world.produce('group_msg', other, other)).partition === partition; i++) other = `other-${i}`
    await sink.until(sink.has(other), world.patienceMs)
    t.notOk(rest.some((value) => sink.values.includes(value)))
    gate.resolve()
    await sink.until(sink.has(...rest), world.patienceMs)
    t.same(sink.records.filter(({ key }) => key?.toString() === 'held').map(valueOf), ['hold', ...rest])
  })

  test('a node that let clients in before it could read goes back to the first of them', async (t, world) => {
    await world.produce('group_msg', 'g', 'long ago')
    await world.pass(10_000)
    const bus = world.consumer()
    bus.firstClientAt(world.unixMs())
    bus.firstClientAt(world.unixMs() + 60_000)
    await world.produce('group_msg', 'g', 'while away')
    const sink = new Sink()
    bus.start(sink.handle)
    await bus.ready
    await world.produce('group_msg', 'g', 'now')
    await sink.until(sink.has('while away', 'now'), world.patienceMs)
    t.same(sink.values, ['while away', 'now'])
  })

  test('a stopped node hears nothing more', async (t, world) => {
    const [stopped, other] = [world.consumer(), world.consumer()]
    const [quiet, sink] = [new Sink(), new Sink()]
    stopped.start(quiet.handle)
    other.start(sink.handle)
    await Promise.all([stopped.ready, other.ready])
    await stopped.stop()
    await world.produce('group_msg', 'g', 'too late')
    await sink.until(sink.has('too late'), world.patienceMs)
    t.same(quiet.values, [])
    t.throws(() => { other.start(sink.handle) }, { message: 'the bus has been started' })
  })
}
