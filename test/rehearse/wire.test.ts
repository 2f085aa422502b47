import t from 'tap'
import type { Check } from '../../rehearse/checks.ts'
import { rehearse } from '../../rehearse/rehearsal.ts'
import { FrameProxy, type Meddle } from '../helpers/frame-proxy.ts'
import { broken, rehearsalOptions, startRehearsalWorld } from '../helpers/rehearsal-world.ts'

/** Does something once, with the first frame of a type that this user gets; all else passes. */
function once (type: string, user: string, act: Meddle): () => Meddle {
  return () => {
    let isDone = false
    const users = new WeakMap<object, string>()
    return (frame, pass, client) => {
      if (frame['type'] === 'welcome') users.set(client, String(frame['user_id']))
      if (isDone || frame['type'] !== type || users.get(client)?.endsWith(user) !== true) {
        pass(JSON.stringify(frame))
        return
      }
      isDone = true
      act(frame, pass, client)
    }
  }
}

/** Never lets the first message through, however often it comes. */
function dropFirst (): Meddle {
  let dropped: unknown
  return (frame, pass) => {
    if (frame['type'] === 'message') dropped ??= frame['msg_id']
    if (frame['type'] !== 'message' || frame['msg_id'] !== dropped) pass(JSON.stringify(frame))
  }
}

/** Lets the first message through after the next one of the same sender. */
function swapFirst (): Meddle {
  let held: Readonly<Record<string, unknown>> | undefined
  let isDone = false
  return (frame, pass) => {
    if (isDone || frame['type'] !== 'message' || (held !== undefined && frame['sender'] !== held['sender'])) pass(JSON.stringify(frame))
    else if (held === undefined) held = frame
    else if (frame['msg_id'] !== held['msg_id']) {
      isDone = true
      pass(JSON.stringify(frame))
      pass(JSON.stringify(held))
    }
  }
}

const closeWith = (code: number, reason: string): Meddle => (frame, pass, client) => {
  pass(JSON.stringify(frame))
  client.close(code, reason)
}
const also = (extra: object): Meddle => (frame, pass) => {
  pass(JSON.stringify(frame))
  pass(JSON.stringify(extra))
}

const FAULTS: ReadonlyArray<readonly [name: string, check: Check, meddle: () => Meddle]> = [
  ['a message that never comes', 'delivered', dropFirst],
  ['two messages that are swapped', 'order', swapFirst],
  ['a message that comes twice', 'once', once('message', '1', (frame, pass) => { for (let i = 0; i < 2; i++) pass(JSON.stringify(frame)) })],
  ['a message with another number', 'intact', once('message', '1', (frame, pass) => { pass(JSON.stringify({ ...frame, sequence_number: Number(frame['sequence_number']) - 0.5 })) })],
  ['a message with other words', 'intact', once('message', '1', (frame, pass) => { pass(JSON.stringify({ ...frame, content: 'else' })) })],
  ['a close code of no table', 'closes', once('message', '1', closeWith(4999, 'because'))],
  ['a close without a cause', 'stays', once('welcome', '3', closeWith(4000, 'heartbeat_timeout'))],
  ['a drain that tells nothing', 'shutdown', once('message', '1', closeWith(1012, 'shutdown'))],
  ['an error of no table', 'errors', once('message', '1', also({ type: 'error', error_code: 'OUCH', error_message: '', timestamp: 1 }))],
  ['a frame of no known type', 'frames', once('message', '1', also({ type: 'surprise' }))],
  ['a frame before the welcome', 'welcome', once('welcome', '2', (frame, pass) => {
    pass('{"type":"heartbeat","timestamp":1}')
    pass(JSON.stringify(frame))
  })]
]

t.test('each broken promise is found, by its own check and by no other', async (t) => {
  const world = await startRehearsalWorld(t)
  const { url } = await world.startGateway('n1')
  await Promise.all(FAULTS.map(async ([name, check, meddle], i) => {
    const proxy = await FrameProxy.to(url, meddle())
    t.teardown(() => { proxy.close() })
    const report = await rehearse(rehearsalOptions(world, [proxy.url], { users: `p${i}-`, run: `r${i}`, connections: 4, messagesPerSecond: 10 }))
    t.strictSame(broken(report), [check], name)
    t.notOk(report.isKept, name)
    t.equal(report.capacity, undefined, `${name}: nothing was held`)
  }))
})
