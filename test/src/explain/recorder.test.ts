import t from 'tap'
import { NO_ROW, Recorder } from '../../../src/explain/recorder.ts'
import { ManualClock } from '../../helpers/manual-clock.ts'

const MB = 1024 ** 2

function recorderOf (entries: number, bytes = MB) {
  const clock = new ManualClock()
  const recorder = new Recorder({ clock, entries, bytes })
  const ids = (by: 'message' | 'user', id: string): string[] => recorder.find(by, id, 100).rows.map(({ msgId }) => msgId)
  return { clock, recorder, ids }
}

t.test('a row is found by its message and by either side, with its times, outcome and counts', async (t) => {
  const { clock, recorder, ids } = recorderOf(10)
  const startedAtMs = clock.monotonicMs()
  const row = recorder.begin('send', 'm1', 'ann', 'phone', 'bob')
  t.match(recorder.find('message', 'm1', 10), { leftOff: 0, rows: [{ kind: 'send', msgId: 'm1', userId: 'ann', deviceId: 'phone', otherId: 'bob', atMs: startedAtMs, passedAtMs: NaN, endedAtMs: NaN, outcome: '', counts: [0, 0, 0] }] })
  clock.advance(5)
  recorder.passed(row, 7)
  clock.advance(10)
  recorder.ended(row, 'ok', 1, 2)
  t.match(recorder.find('message', 'm1', 10).rows, [{ atMs: startedAtMs, passedAtMs: startedAtMs + 5, endedAtMs: startedAtMs + 15, outcome: 'ok', counts: [1, 2, 7] }])
  t.strictSame(ids('user', 'ann'), ['m1'])
  t.strictSame(ids('user', 'bob'), ['m1'])
  t.strictSame(ids('user', 'm1'), [])
  t.strictSame(ids('message', 'ann'), [])
  t.equal(recorder.oldestAtMs, startedAtMs)
})

t.test('[GW-OBS-6] past its entries the oldest is forgotten, and what comes late for it changes nobody else\'s row', async (t) => {
  const { clock, recorder, ids } = recorderOf(3)
  t.equal(recorder.oldestAtMs, undefined)
  const rows: number[] = []
  for (let at = 1; at <= 7; at++) {
    rows.push(recorder.begin('push', `m${at}`, 'ann', '', 'bob'))
    clock.advance(1)
  }
  t.strictSame(ids('user', 'ann'), ['m5', 'm6', 'm7'])
  t.equal(recorder.size, 3)
  for (const row of [...rows.slice(0, 4), NO_ROW]) {
    recorder.passed(row)
    recorder.ended(row, 'late')
  }
  t.ok(recorder.find('user', 'ann', 10).rows.every(({ outcome, endedAtMs, passedAtMs }) => outcome === '' && Number.isNaN(endedAtMs) && Number.isNaN(passedAtMs)))
  recorder.ended(rows[4] as number, 'in time')
  t.match(recorder.find('message', 'm5', 1).rows, [{ outcome: 'in time' }])
  t.equal(recorder.oldestAtMs, recorder.find('message', 'm5', 1).rows[0]?.atMs)
})

t.test('[GW-OBS-6] of many that fit the latest are told, and how many more there are', async (t) => {
  const { recorder } = recorderOf(10)
  for (let at = 0; at < 8; at++) recorder.begin('push', `m${at}`, 'ann', '', 'bob')
  const { rows, leftOff } = recorder.find('user', 'ann', 3)
  t.strictSame(rows.map(({ msgId }) => msgId), ['m5', 'm6', 'm7'])
  t.equal(leftOff, 5)
})

t.test('[GW-OBS-6] its bytes are bounded whatever ids come, and long ids cost entries', async (t) => {
  const { recorder } = recorderOf(1_000_000)
  const long = { msgId: 'm'.repeat(64), userId: 'u'.repeat(128), deviceId: 'd'.repeat(64) }
  for (let at = 0; at < 20_000; at++) {
    recorder.noted('send', long.msgId, long.userId, long.deviceId, long.userId, 'OVERLOADED')
    if (recorder.bytes > MB) return t.fail(`${recorder.bytes} bytes after ${at} entries`)
  }
  const withLong = recorder.size
  t.ok(withLong > 400 && withLong < 1_000, `${withLong} entries`)
  for (let at = 0; at < 20_000; at++) recorder.noted('send', 'm', 'a', 'p', 'b', 'OVERLOADED')
  t.ok(recorder.size > 4 * withLong, `${recorder.size} entries with short ids`)
  t.ok(recorder.bytes <= MB)
})

t.test('row numbers begin again without a row being taken for another', async (t) => {
  const clock = new ManualClock()
  const recorder = new Recorder({ clock, entries: 3, bytes: MB, numbers: 10 })
  const numbers: number[] = []
  for (let at = 0; at < 30; at++) {
    const row = recorder.begin('push', `m${at}`, 'ann', '', 'bob')
    const oldest = numbers.at(-3)
    if (oldest !== undefined) recorder.ended(oldest, 'late')
    recorder.ended(numbers.at(-2) ?? row, 'in time')
    numbers.push(row)
    t.strictSame(recorder.find('user', 'ann', 10).rows.map(({ msgId }) => msgId), [at - 2, at - 1, at].filter((each) => each >= 0).map((each) => `m${each}`))
  }
  t.strictSame(numbers.slice(0, 10), [0, 1, 2, 3, 4, 5, 6, 7, 8, 0])
  t.strictSame(recorder.find('user', 'ann', 10).rows.map(({ outcome }) => outcome), ['in time', '', ''])
  t.throws(() => new Recorder({ clock, entries: 10, bytes: 10 }), /at least one entry/)
  t.throws(() => new Recorder({ clock, entries: 0, bytes: MB }), RangeError)
})
