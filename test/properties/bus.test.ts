import fc from 'fast-check'
import t from 'tap'
import type { BusRecord } from '../../src/ports.ts'
import { PartitionQueue, RECORDS_PER_TURN } from '../../src/groups/partition-queue.ts'
import { MemoryBroker } from '../../src/embedded/memory-bus.ts'
import { FakeLogger } from '../helpers/fakes.ts'
import { ManualClock, settle } from '../helpers/manual-clock.ts'

const seed = process.env['FC_SEED']
const runs = { numRuns: 200, ...(seed !== undefined && { seed: Number(seed) }) }

type Answer = 'at once' | 'later' | 'throws' | 'rejects'
const answer = fc.constantFrom<Answer>('at once', 'at once', 'at once', 'later', 'throws', 'rejects')

const record = (offset: number): BusRecord => ({ topic: 'group_msg', partition: 0, offset: String(offset), key: null, value: null, timestampMs: 0 })

t.test('a queue hands over every record once, in order, and none while a promise is open, whatever the handler does', async (t) => {
  await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.array(answer, { maxLength: 40 }), fc.boolean()), { maxLength: 12 }), async (batches) => {
    const answers = batches.flatMap(([list]) => list)
    const seen: number[] = []
    const faults: number[] = []
    const open: Array<() => void> = []
    let early = false
    const queue = new PartitionQueue({
      handler: ({ offset }) => {
        early ||= open.length > 0
        seen.push(Number(offset))
        const kind = answers[Number(offset)]
        if (kind === 'throws') throw new Error('thrown')
        if (kind === 'rejects') return Promise.reject(new Error('rejected'))
        if (kind === 'later') return new Promise<void>((resolve) => { open.push(resolve) })
      },
      onFault: ({ offset }) => { faults.push(Number(offset)) },
      onIdle: () => { if (queue.length > 0 || queue.waiting) throw new Error('idle too early') }
    })
    const release = async (): Promise<void> => {
      for (let resolve = open.shift(); resolve !== undefined; resolve = open.shift()) {
        resolve()
        await settle()
      }
    }
    let next = 0
    for (const [list, settleBetween] of batches) {
      queue.add(list.map(() => record(next++)))
      while (queue.run() === 'more');
      await settle()
      if (settleBetween) await release()
    }
    for (let i = 0; i <= answers.length && seen.length < answers.length; i++) await release()
    await release()
    if (early) return false
    const expectedFaults = answers.flatMap((kind, i) => kind === 'throws' || kind === 'rejects' ? [i] : [])
    return seen.length === answers.length && seen.every((offset, i) => offset === i) && String(faults) === String(expectedFaults)
  }), { ...runs, numRuns: 100 })
  t.pass()
})

t.test('a turn hands over so many records and no more, also of a queue that never runs empty', (t) => {
  let seen = 0
  const queue = new PartitionQueue({ handler: () => { seen++ }, onFault: () => {}, onIdle: () => {} })
  queue.add(Array.from({ length: RECORDS_PER_TURN + 1 }, (_, i) => record(i)))
  for (let turn = 1; turn < 40; turn++) {
    t.equal(queue.run(), 'more')
    t.equal(seen, turn * RECORDS_PER_TURN)
    queue.add(Array.from({ length: RECORDS_PER_TURN }, (_, i) => record(i)))
  }
  t.equal(queue.length, RECORDS_PER_TURN + 1)
  queue.stop()
  queue.add([record(0)])
  t.equal(queue.run(), 'empty')
  t.end()
})

t.test('every consumer of the broker in memory gets what was produced since its start, each key in order', async (t) => {
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('produce' as const), key: fc.constantFrom('a', 'b', 'c', 'd', null) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('join' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('settle' as const) }) }
  )
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 4 }), async (steps, partitions) => {
    const broker = new MemoryBroker({ clock: new ManualClock(), logger: new FakeLogger(), partitions })
    const produced: Array<{ key: string | null, value: string }> = []
    const consumers: Array<{ from: number, seen: BusRecord[] }> = []
    for (const current of steps) {
      if (current.kind === 'produce') {
        produced.push({ key: current.key, value: `${produced.length}` })
        await broker.produce('group_msg', current.key, `${produced.length - 1}`)
      } else if (current.kind === 'join') {
        const consumer = { from: produced.length, seen: [] as BusRecord[] }
        consumers.push(consumer)
        broker.consumer().start((one) => { consumer.seen.push(one) })
      } else {
        await settle()
      }
    }
    await settle()
    return consumers.every(({ from, seen }) => {
      const due = produced.slice(from)
      const values = seen.map(({ value }) => Number(value?.toString()))
      const offsets = [0, 1, 2, 3].map((partition) => seen.filter((one) => one.partition === partition).map(({ offset }) => Number(offset)))
      return values.length === due.length && new Set(values).size === due.length &&
        ['a', 'b', 'c', 'd'].every((key) => String(seen.filter((one) => one.key?.toString() === key).map(({ value }) => value?.toString())) === String(due.filter((one) => one.key === key).map(({ value }) => value))) &&
        offsets.every((list) => list.every((offset, i) => i === 0 || offset === (list[i - 1] ?? 0) + 1))
    })
  }), runs)
  t.pass()
})
