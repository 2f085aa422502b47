import t from 'tap'
import { areRecords, emptyRecords } from '../../../plugins/lib/kafka-records.ts'

t.test('empty records are records, each at the next offset', (t) => {
  for (const [count, first] of [[1, 0], [1, 2 ** 31 - 1], [300, 0], [20_000, 5]] as const) {
    const bytes = emptyRecords(count, first)
    t.ok(areRecords(bytes, count, first + count - 1))
    t.notOk(areRecords(bytes, count, first + count - 2), 'the last one is behind the last of the batch')
    t.notOk(areRecords(bytes, count + 1, first + count), 'there is no such number')
  }
  t.end()
})

t.test('a time may have ten bytes, as the library reads them, and no more', (t) => {
  const timed = (bytes: number): Buffer => Buffer.from([2 * (bytes + 5), 0, ...Buffer.alloc(bytes - 1, 0x80), 0, 0, 1, 1, 0])
  t.ok(areRecords(timed(10), 1, 0))
  t.notOk(areRecords(timed(11), 1, 0))
  t.end()
})
