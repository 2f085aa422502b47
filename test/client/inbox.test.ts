import t from 'tap'
import { messageOf, type Message } from '../../client/src/index.ts'
import { kept, message, opened } from '../helpers/client-world.ts'
import { settle } from '../helpers/manual-clock.ts'

const ack = (msgId: string, n: number) => ({ type: 'ack', msg_id: msgId, sequence_number: n, timestamp: 1 })

t.test('a message that overtakes the ack of one\'s own is no gap, with a history or without', async (t) => {
  let asked = 0
  for (const options of [{}, { history: async () => { asked++; return [] } }]) {
    const { client, clock, network, state } = await opened(options)
    network.last.give(message(1))
    const sent = client.send('bob', 'mine', { msgId: 'own' })
    network.last.give(message(3))
    t.strictSame(state.shown, ['bob m1'], 'it waits')
    network.last.give(ack('own', 2))
    await sent
    t.strictSame(state.shown, ['bob m1', 'bob m3'])
    network.last.give(message(4))
    await clock.run(5_000)
    t.strictSame(state.gaps, [])
    t.strictSame(state.shown, ['bob m1', 'bob m3', 'bob m4'])
  }
  t.equal(asked, 0)
})

t.test('an ack that overtakes a peer\'s message keeps its number for later', async (t) => {
  const { client, clock, network, state } = await opened()
  network.last.give(message(1))
  void client.send('bob', 'mine', { msgId: 'own' })
  network.last.give(ack('own', 3))
  network.last.give(message(2))
  network.last.give(message(4))
  await clock.run(5_000)
  t.strictSame(state.shown, ['bob m1', 'bob m2', 'bob m4'])
  t.strictSame(state.gaps, [])
})

t.test('an ack that does not come holds nothing back for longer than a moment', async (t) => {
  const { client, clock, network, state } = await opened({ reorderMs: 700 })
  network.last.give(message(1))
  void client.send('bob', 'mine', { msgId: 'own' })
  network.last.give(message(3))
  await clock.run(699)
  t.strictSame(state.shown, ['bob m1'])
  await clock.run(1)
  t.strictSame(state.shown, ['bob m1', 'bob m3'])
  t.strictSame(state.gaps, [{ conversation: 'bob', after: 1, before: 3 }])
})

t.test('without a history messages out of order are put in order, each shown once', async (t) => {
  const { client, clock, network, state } = await opened()
  for (const n of [1, 4, 3, 3, 5, 2]) network.last.give(message(n))
  t.strictSame(state.shown, ['bob m1', 'bob m2', 'bob m3', 'bob m4', 'bob m5'])
  network.last.give(message(9))
  network.last.give(message(7))
  network.last.give({ ...message(0), msg_id: 'unnumbered' })
  await clock.run(1_000)
  t.strictSame(state.shown.slice(5), ['bob unnumbered', 'bob m7', 'bob m9'])
  t.strictSame(state.gaps, [{ conversation: 'bob', after: 5, before: 7 }, { conversation: 'bob', after: 7, before: 9 }])
  network.last.give(message(8))
  t.equal(state.shown.at(-1), 'bob m8', 'late is better than never')
  client.close()
  t.equal(clock.pendingTimers, 0)
})

t.test('what is held back when the client ends is shown before', async (t) => {
  const { client, clock, network, state } = await opened()
  network.last.give(message(1))
  network.last.give(message(3))
  client.close()
  t.strictSame(state.shown, ['bob m1', 'bob m3'])
  t.equal(state.gaps.length, 1)
  t.equal(clock.pendingTimers, 0)
})

t.test('a history that never answers is given ten seconds each time, and what comes meanwhile is kept in order', async (t) => {
  let calls = 0
  const { clock, network, state } = await opened({ history: () => { calls++; return new Promise<readonly Message[]>(() => {}) } })
  for (const n of [1, 4, 3]) network.last.give(message(n))
  await clock.run(42_999)
  t.equal(calls, 4)
  t.strictSame(state.shown, ['bob m1'])
  await clock.run(1)
  t.strictSame(state.shown, ['bob m1', 'bob m3', 'bob m4'])
  t.match(state.gaps, [{ conversation: 'bob', after: 1, before: 3, error: Error }])
})

t.test('a client that ends while the history is read shows what it held, and nothing after its end', async (t) => {
  let answer = (_messages: readonly Message[]): void => {}
  let asked = 0
  const { client, network, state } = await opened({ history: () => { asked++; return new Promise((resolve) => { answer = resolve }) } })
  network.last.give(message(1))
  network.last.give(message(3))
  await settle()
  client.close()
  t.strictSame(state.shown, ['bob m1', 'bob m3'])
  answer([kept(2), kept(3), kept(4)])
  await settle()
  t.strictSame(state.shown, ['bob m1', 'bob m3'])
  t.equal(asked, 1)
})

t.test('a client that is ended by whoever hears that it is open asks for nothing', async (t) => {
  let asked = 0
  let sessions = 0
  const { client, clock, network } = await opened({
    history: async () => { asked++; return [] },
    onState: (now) => { if (now === 'open' && ++sessions === 2) client.close() }
  })
  network.last.give(message(1))
  network.last.end(4001)
  await clock.run(500)
  network.last.welcome()
  await settle()
  t.equal(client.state, 'ended')
  t.equal(asked, 0)
})

t.test('one\'s own messages fill their places while the history is read', async (t) => {
  let answer = (_messages: readonly Message[]): void => {}
  const { client, network, state } = await opened({ history: () => new Promise((resolve) => { answer = resolve }) })
  network.last.give(message(1))
  network.last.give(message(3))
  await settle()
  const sent = client.send('bob', 'mine', { msgId: 'own' })
  network.last.give(ack('own', 4))
  await sent
  network.last.give(message(5))
  answer([kept(2), kept(3)])
  await settle()
  answer([])
  await settle()
  t.strictSame(state.shown, ['bob m1', 'bob m2', 'bob m3', 'bob m5'])
  t.strictSame(state.gaps, [])
})

t.test('a page that was asked for before a message came says nothing of the gap before it, and tells what it should have had', async (t) => {
  const asked: number[] = []
  const answers: Array<(messages: readonly Message[]) => void> = []
  const { network, state } = await opened({ history: (_conversation, after) => { asked.push(after); return new Promise((resolve) => { answers.push(resolve) }) } })
  network.last.give(message(1))
  network.last.give(message(3))
  await settle()
  network.last.give(message(6))
  network.last.give(message(4))
  answers[0]?.([])
  await settle()
  t.strictSame(state.shown, ['bob m1', 'bob m3', 'bob m4'], 'the history has no 2, and 5 is asked for')
  answers[1]?.([kept(5)])
  await settle()
  answers[2]?.([])
  await settle()
  t.strictSame(state.shown.slice(3), ['bob m5', 'bob m6'])
  t.strictSame(asked, [1, 4, 6])
  t.strictSame(state.gaps, [{ conversation: 'bob', after: 1, before: 3 }])
})

t.test('what comes while the history is read fills its place, though the history does not have it yet', async (t) => {
  let answer = (_messages: readonly Message[]): void => {}
  const { network, state } = await opened({ history: () => new Promise((resolve) => { answer = resolve }) })
  for (const n of [1, 3]) network.last.give(message(n))
  await settle()
  network.last.give(message(2))
  answer([])
  await settle()
  t.strictSame(state.shown, ['bob m1', 'bob m2', 'bob m3'])
  t.strictSame(state.gaps, [])
})

t.test('numbers that the history passes over are told, where they are missing', async (t) => {
  const told: string[] = []
  const { network } = await opened({
    history: async (_conversation, after) => after === 1 ? [kept(3), kept(6)] : [],
    onMessage: ({ msgId }) => { told.push(msgId) },
    onGap: ({ after, before }) => { told.push(`${after}-${before}`) }
  })
  for (const n of [1, 4, 8]) network.last.give(message(n))
  await settle()
  t.strictSame(told, ['m1', '1-3', 'm3', 'm4', '4-6', 'm6', '6-8', 'm8'])
})

t.test('a page of any size is read, whatever is held beside it', async (t) => {
  const size = 200_000
  const page = Array.from({ length: size }, (_, at) => kept(at + 2))
  const { network, state } = await opened({ history: async (_conversation, after) => after < size ? page : [] })
  network.last.give(message(1))
  for (let n = size; n > size - 5_000; n--) network.last.give(message(n))
  await settle()
  t.equal(state.shown.length, size + 1)
  t.strictSame([state.shown[1], state.shown.at(-1)], ['bob m2', `bob m${size + 1}`])
  t.strictSame(state.gaps, [])
})

t.test('a client that is ended by whoever hears of a gap tells it once, and shows what it held', async (t) => {
  const { client, network, state } = await opened({ onGap: (gap) => { state.gaps.push(gap); client.close() } })
  for (const n of [1, 4, 3]) network.last.give(message(n))
  client.close()
  t.strictSame(state.shown, ['bob m1', 'bob m3', 'bob m4'])
  t.strictSame(state.gaps, [{ conversation: 'bob', after: 1, before: 3 }])
})

t.test('a history that answers nonsense is one that does not answer: what came is shown, and later messages too', async (t) => {
  for (const answer of [null, undefined, { messages: [] }, [null]]) {
    let asked = 0
    const { clock, network, state } = await opened({ history: async () => { asked++; return answer as never } })
    for (const n of [1, 3]) network.last.give(message(n))
    await clock.run(5_000)
    t.strictSame(state.shown, ['bob m1', 'bob m3'], JSON.stringify(answer))
    t.match(state.gaps, [{ conversation: 'bob', after: 1, before: 3, error: TypeError }])
    t.equal(asked, 4)
    network.last.give(message(4))
    t.equal(state.shown.at(-1), 'bob m4')
  }
})

t.test('a history of another shape is none: nothing is shown without its id, and the gap says why', async (t) => {
  const history = async () => [{ msg_id: 'm2', sender: 'bob', recipient: 'ann', content: 'x', sequence_number: 2 }]
  const wrong = await opened({ history: history as never })
  wrong.network.last.give(message(1))
  wrong.network.last.give(message(3))
  await wrong.clock.run(10_000)
  t.strictSame(wrong.state.shown, ['bob m1', 'bob m3'])
  t.match(wrong.state.gaps, [{ conversation: 'bob', after: 1, before: 3, error: TypeError }])

  for (const [what, entry] of Object.entries({ 'of messages already': kept(2), 'without a number': { msg_id: 'm2' }, 'with a number that is none': { msg_id: 'm2', sequence_number: 'two' }, 'without an id': { sequence_number: 2 } })) {
    const made = await opened({ history: async () => [messageOf({ ...entry })] })
    made.network.last.give(message(1))
    made.network.last.give(message(3))
    await made.clock.run(10_000)
    t.strictSame(made.state.shown, ['bob m1', 'bob m3'], what)
    t.match(made.state.gaps, [{ conversation: 'bob', after: 1, before: 3, error: TypeError }], what)
  }

  const { network, clock, state } = await opened({ history: async (_conversation, after) => after < 2 ? (await history()).map(messageOf) : [] })
  network.last.give(message(1))
  network.last.give(message(3))
  await clock.run(10_000)
  t.strictSame(state.shown, ['bob m1', 'bob m2', 'bob m3'])
  t.strictSame(state.gaps, [])
})

t.test('a history that fails where no gap is seen is asked again later and later, until it answers', async (t) => {
  const asked: number[] = []
  let isDown = true
  const { clock, network, state } = await opened({
    history: async (_conversation, after) => {
      asked.push(clock.monotonicMs())
      if (isDown) throw new Error('down')
      return after < 3 ? [kept(2), kept(3)] : []
    }
  })
  const comeBack = async (): Promise<void> => {
    network.last.end(4001)
    await clock.run(500)
    asked.length = 0
    network.last.welcome()
    await settle()
  }
  /** In a session that lives. */
  const wait = async (ms: number): Promise<void> => {
    for (; ms > 0; ms -= 10_000) {
      network.last.give({ type: 'heartbeat' })
      await clock.run(10_000)
    }
  }
  const pauses = (): number[] => asked.slice(1).map((ms, at) => ms - Number(asked[at])).filter((ms) => ms > 10_000)
  network.last.give(message(1))
  await comeBack()
  await wait(3_000_000)
  t.strictSame(pauses(), [30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000, 600_000])
  t.equal(asked.length, 9 * 4)
  t.strictSame(state.gaps, [], 'nobody knows of one')
  isDown = false
  await wait(600_000)
  t.strictSame(state.shown, ['bob m1', 'bob m2', 'bob m3'], 'what was missed')
  asked.length = 0
  await wait(1_200_000)
  t.strictSame(asked, [])

  isDown = true
  await comeBack()
  await wait(40_000)
  t.strictSame(pauses(), [30_000], 'from the begin')
  isDown = false
  await comeBack()
  await wait(200_000)
  t.equal(asked.length, 1, 'a new session asks in its place')
})

t.test('a history that fails is not asked again for a gap that was told, nor by a client that has ended', async (t) => {
  let asked = 0
  const { client, clock, network, state } = await opened({ history: async () => { asked++; throw new Error('down') } })
  network.last.give(message(1))
  network.last.give(message(3))
  await clock.run(60_000)
  t.equal(asked, 4)
  t.match(state.gaps, [{ conversation: 'bob', after: 1, before: 3, error: Error }])

  network.last.end(4001)
  await clock.run(500)
  network.last.welcome()
  await clock.run(4_000)
  t.equal(asked, 8)
  client.close()
  t.equal(clock.pendingTimers, 0)
})

t.test('a history that fails after the end leaves no timer behind, at no attempt', async (t) => {
  for (const attempt of [1, 4]) {
    let fail = (_error: Error): void => {}
    const { client, clock, network } = await opened({ history: () => new Promise((_resolve, reject) => { fail = reject }) })
    network.last.give(message(1))
    network.last.end(4001)
    await clock.run(500)
    network.last.welcome()
    await settle()
    for (let failed = 1; failed < attempt; failed++) {
      fail(new Error('down'))
      await clock.run(2_000)
    }
    client.close()
    fail(new Error('down'))
    await settle()
    t.equal(clock.pendingTimers, 0, `attempt ${attempt}`)
  }
})
