/** Refusing for want of memory, with readings that are made up; the other limits are in health.test.ts. FC_SEED repeats a run. */
import fc from 'fast-check'
import t from 'tap'
import { MAX_COLLECT_INTERVAL_MS, Overload, SAMPLE_INTERVAL_MS } from '../../src/overload.ts'
import { FakeMeter } from '../helpers/fakes.ts'
import { ManualClock } from '../helpers/manual-clock.ts'

const MAX = 1_000
const MAX_RESIDENT = 1_200
/** What is clearly below the limit. */
const ROOM = 949

/** A process whose V8 collects nothing by itself, and whose malloc keeps of what it was given back at most as much as fits. */
class Memory {
  readonly clock = new ManualClock()
  readonly collections: Array<{ readonly atMs: number, readonly tookMs: number }> = []
  readonly overload: Overload
  collectMs = 20
  live = 0
  #garbage = 0
  #kept = 0
  #sample = { eventLoopDelayMs: 0, inUseBytes: 0, residentBytes: 0 }

  constructor () {
    this.overload = new Overload({
      maxConnections: 10, maxEventLoopDelayMs: 200, maxMemoryBytes: MAX, maxResidentBytes: MAX_RESIDENT, connections: () => 0, meter: new FakeMeter(), clock: this.clock, sample: () => this.#sample, collect: () => { this.#collect() }
    })
  }

  take (bytes: number): void {
    this.#kept -= Math.min(this.#kept, bytes)
    this.live += bytes
  }

  drop (bytes: number): void {
    const dropped = Math.min(bytes, this.live)
    this.live -= dropped
    this.#garbage += dropped
  }

  /** Half a second later. */
  look (): void {
    this.clock.advance(SAMPLE_INTERVAL_MS)
    const inUseBytes = this.live + this.#garbage
    this.#sample = { eventLoopDelayMs: 0, inUseBytes, residentBytes: inUseBytes + this.#kept }
    this.overload.relieve()
  }

  #collect (): void {
    this.collections.push({ atMs: this.clock.monotonicMs(), tookMs: this.collectMs })
    this.clock.advance(this.collectMs)
    this.#kept = Math.max(0, Math.min(this.#kept + this.#garbage, MAX_RESIDENT * 0.9 - this.live))
    this.#garbage = 0
  }
}

t.test('[GW-OVL-1] a node that was short of memory takes newcomers again, though nothing of it is collected or given back by itself', async (t) => {
  const memory = new Memory()
  memory.take(MAX)
  memory.look()
  t.equal(memory.overload.shouldRefuse(), 'memory')
  t.equal(memory.collections.length, 1)
  memory.drop(900)
  memory.look()
  t.equal(memory.overload.shouldRefuse(), 'memory', 'garbage is not told from values')
  for (let i = 0; i < 20 * 200 / SAMPLE_INTERVAL_MS; i++) memory.look()
  t.equal(memory.collections.length, 2, 'and is collected when it is time')
  t.equal(memory.overload.shouldRefuse(), undefined)
  for (let i = 0; i < 1_000; i++) memory.look()
  t.equal(memory.collections.length, 2, 'a node that has room collects nothing')
})

t.test('[GW-OVL-1] garbage alone turns nobody away for longer than a sample', async (t) => {
  const memory = new Memory()
  memory.take(990)
  memory.drop(900)
  memory.look()
  t.equal(memory.overload.shouldRefuse(), undefined)
  memory.take(800)
  memory.look()
  t.equal(memory.overload.shouldRefuse(), 'memory')
  memory.look()
  t.equal(memory.overload.shouldRefuse(), undefined)
})

const change = fc.record({ take: fc.nat(1_500), drop: fc.nat(1_500), collectMs: fc.integer({ min: 1, max: 2_000 }) })

t.test('[GW-OVL-1] whatever the memory does: nobody is let in above the limit, and below it everybody within its time', async (t) => {
  const seed = process.env.FC_SEED === undefined ? Date.now() % 2 ** 31 : Number(process.env.FC_SEED)
  t.comment(`seed ${seed}`)
  fc.assert(fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
    const memory = new Memory()
    for (const { take, drop, collectMs } of changes) {
      memory.take(take)
      memory.drop(drop)
      memory.collectMs = collectMs
      memory.look()
      if (memory.live >= MAX && memory.overload.shouldRefuse() !== 'memory') return false
    }
    memory.drop(Math.max(0, memory.live - ROOM))
    const { clock } = memory
    const latestMs = clock.monotonicMs() + MAX_COLLECT_INTERVAL_MS + memory.collectMs + 2 * SAMPLE_INTERVAL_MS
    do memory.look()
    while (clock.monotonicMs() < latestMs && memory.overload.shouldRefuse() !== undefined)
    const { collections } = memory
    const areSeldom = collections.every(({ atMs }, i) => {
      const last = collections[i - 1]
      return last === undefined || atMs - last.atMs >= Math.min(200 * last.tookMs, MAX_COLLECT_INTERVAL_MS)
    })
    return areSeldom && memory.overload.shouldRefuse() === undefined
  }), { seed, numRuns: 500 })
  t.pass()
})
