import t from 'tap'
import { earlier, Positions } from '../../../src/groups/positions.ts'

t.test('positions are set once per topic, move with what is taken, and are 0 for a partition that is new', (t) => {
  const positions = new Positions(['a', 'b'])
  t.same(positions.unstarted, ['a', 'b'])
  positions.start('a', [{ partition: 0, offset: '10' }])
  positions.start('a', [{ partition: 0, offset: '99' }, { partition: 1, offset: '99' }])
  t.same(positions.unstarted, ['b'])
  t.equal(positions.next('a', 0), '10')
  t.equal(positions.next('a', 1), '0')
  positions.taken('a', 0, '14', '20')
  t.equal(positions.next('a', 0), '15')
  t.same(positions.all(), [{ topic: 'a', partition: 0, offset: '15' }])
  t.throws(() => positions.next('c', 0), RangeError)
  t.end()
})

t.test('the lag is what lies between the positions and the ends, and never less than nothing', (t) => {
  const positions = new Positions(['a'])
  positions.start('a', [{ partition: 0, offset: '10' }, { partition: 1, offset: '10' }])
  t.equal(positions.lag('a'), 0)
  positions.endsAt('a', 0, '13')
  positions.endsAt('a', 1, '9')
  positions.endsAt('a', 7, '1000')
  t.equal(positions.lag('a'), 3)
  positions.taken('a', 0, '12', '13')
  t.equal(positions.lag('a'), 0)
  t.end()
})

t.test('offsets beyond 2^53 are kept exactly', (t) => {
  const positions = new Positions(['a'])
  positions.start('a', [{ partition: 0, offset: '9007199254740992' }])
  positions.taken('a', 0, '9007199254740993', '9007199254740995')
  t.equal(positions.next('a', 0), '9007199254740994')
  t.equal(positions.lag('a'), 1)
  t.end()
})

t.test('of two answers each partition takes the earlier, whatever their order', (t) => {
  const offsets = earlier([{ partition: 1, offset: '100' }, { partition: 0, offset: '9' }], [{ partition: 0, offset: '10' }, { partition: 1, offset: '20' }, { partition: 2, offset: '5' }])
  t.same(offsets.toSorted((a, b) => a.partition - b.partition), [{ partition: 0, offset: '9' }, { partition: 1, offset: '20' }, { partition: 2, offset: '5' }])
  t.end()
})
