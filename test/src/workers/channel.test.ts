import t from 'tap'
import { Channel, type Handlers } from '../../../src/workers/channel.ts'
import { ManualClock } from '../../helpers/manual-clock.ts'

/** Two ends of a line that copies, as the one between processes does. */
function line (here: Handlers = {}, there: Handlers = {}) {
  const clock = new ManualClock()
  const state = { cut: false, lost: false }
  const end = (handlers: Handlers, other: () => Channel): Channel => new Channel({
    clock,
    handlers,
    send: (message) => {
      if (state.cut) throw new Error('EPIPE')
      const copy = structuredClone(message)
      if (!state.lost) queueMicrotask(() => { other().receive(copy) })
    }
  })
  const a: Channel = end(here, () => b)
  const b: Channel = end(there, () => a)
  return { a, b, clock, state }
}

t.test('a call is answered with what the other side returns, in whatever order', async (t) => {
  const waiting: Array<(value: unknown) => void> = []
  const { a, b, clock } = line({ name: () => 'a' }, { later: (argument) => new Promise((resolve) => { waiting.push(() => { resolve({ argument, number: NaN }) }) }) })
  const first = a.call('later', 1000, 1)
  const second = a.call('later', 1000, { two: 2 })
  t.equal(await b.call('name', 1000), 'a', 'both sides call')
  waiting[1]?.(0)
  t.strictSame(await second, { argument: { two: 2 }, number: NaN })
  waiting[0]?.(0)
  t.match(await first, { argument: 1 })
  t.equal(clock.pendingTimers, 0)
})

t.test('a failure is told, an unknown name too, and silence is given up', async (t) => {
  const { a, clock, state } = line({}, { fails: () => { throw new Error('not now') }, rejects: () => Promise.reject(new Error('text')) })
  await t.rejects(a.call('fails', 1000), { message: 'not now' })
  await t.rejects(a.call('rejects', 1000), { message: 'text' })
  await t.rejects(a.call('toString', 1000), { message: 'there is no toString' })
  state.lost = true
  const silent = t.rejects(a.call('fails', 1000), { message: 'fails was not answered in 1000 ms' })
  await clock.run(1000)
  await silent
  t.equal(clock.pendingTimers, 0)
})

t.test('when the other side is gone whatever waits fails, and later calls at once', async (t) => {
  const { a, clock, state } = line({}, { never: () => new Promise(() => {}) })
  const waiting = t.rejects(a.call('never', 1000), { message: 'the other process is gone' })
  a.close()
  await waiting
  await t.rejects(a.call('never', 1000), { message: 'the other process is gone' })
  t.equal(clock.pendingTimers, 0)
  const other = line()
  other.state.cut = true
  await t.rejects(other.a.call('name', 1000), { message: 'the other process is gone' }, 'the line says so')
  state.cut = true
})

t.test('what is none of its messages, late or twice is passed over', async (t) => {
  const { a, b, clock } = line({}, { echo: (argument) => argument })
  for (const message of [undefined, null, 7, 'x', {}, { kind: 'call' }, { kind: 'else', id: 1 }, { kind: 'result', id: 99, value: 1 }, { kind: 'failure', id: 99, text: '' }]) a.receive(message)
  b.close()
  const late = t.rejects(a.call('echo', 10, 1))
  await clock.run(10)
  await late
})
