import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import t from 'tap'
import { LiveEvents } from '../../demo/live-events.ts'
import type { LiveState } from '../../demo/live-state.ts'
import { ManualClock } from '../helpers/manual-clock.ts'

class FakeResponse extends EventEmitter {
  readonly texts: string[] = []
  writableLength = 0
  status = 0
  writeHead (status: number): void { this.status = status }
  write (text: string): void { this.texts.push(text) }
  destroy (): void { this.emit('close') }
}

function makeEvents () {
  const clock = new ManualClock()
  let state: LiveState = { nodes: [], devices: [], groups: [], slow: [] }
  const events = new LiveEvents({ state: () => state, clock })
  const add = (): FakeResponse => {
    const response = new FakeResponse()
    events.add(response as unknown as ServerResponse)
    return response
  }
  const slow = (...users: string[]): string => {
    state = { ...state, slow: users }
    return `event: state\ndata: ${JSON.stringify(state)}\n\n`
  }
  return { clock, events, add, slow }
}

t.test('a listener is told the state at once, and then what has changed', async (t) => {
  const { clock, events, add, slow } = makeEvents()
  const first = slow('alice')
  const page = add()
  t.equal(page.status, 200)
  t.strictSame(page.texts, [first])
  clock.advance(1_000)
  t.equal(page.texts.length, 1, 'nothing has changed')
  const second = slow()
  clock.advance(1_000)
  events.delivered({ msg_id: 'm1', sender: 'alice', recipient: 'bob' })
  t.strictSame(page.texts.slice(1), [second, 'event: delivered\ndata: {"msg_id":"m1","sender":"alice","recipient":"bob"}\n\n'])
})

t.test('nothing is looked at while nobody listens', async (t) => {
  const { clock, events, add } = makeEvents()
  t.equal(clock.pendingTimers, 0)
  const page = add()
  t.equal(clock.pendingTimers, 1)
  page.destroy()
  clock.advance(1_000)
  t.equal(clock.pendingTimers, 0)
  events.delivered({ msg_id: 'm1', sender: 'alice', recipient: 'bob' })
  t.equal(page.texts.length, 1)
})

t.test('a listener that does not read is let go, and there is a limit to how many there may be', async (t) => {
  const { events, add } = makeEvents()
  const page = add()
  page.writableLength = 2_000_000
  events.delivered({ msg_id: 'm1', sender: 'alice', recipient: 'bob' })
  page.writableLength = 0
  events.delivered({ msg_id: 'm2', sender: 'alice', recipient: 'bob' })
  t.equal(page.texts.length, 1)
  for (let i = 0; i < 49; i++) add()
  t.equal(events.isFull, false)
  add()
  t.equal(events.isFull, true)
})

t.test('the end closes every listener', async (t) => {
  const { clock, events, add } = makeEvents()
  const page = add()
  let isClosed = false
  page.on('close', () => { isClosed = true })
  events.close()
  t.equal(isClosed, true)
  t.equal(clock.pendingTimers, 0)
})
