import t from 'tap'
import { SendError, SendTimeoutError, type Message } from '../../client/src/index.ts'
import { CLOSE } from '../../src/protocol/close-codes.ts'
import { kept, message, opened, world } from '../helpers/client-world.ts'
import { settle } from '../helpers/manual-clock.ts'

t.test('the token goes as a subprotocol; messages wait for the welcome', async (t) => {
  const { client, network } = world({ deviceId: 'tab 1' })
  t.equal(client.state, 'idle')
  client.start()
  const sent = client.send('bob', 'hi', { metadata: { a: 'b' } })
  await settle()
  t.equal(client.state, 'connecting')
  t.equal(network.last.url, 'wss://gateway.example/ws?device_id=tab+1')
  t.strictSame(network.last.protocols, ['im.v1.json', 'bearer.token-1'])
  t.equal(network.last.sent.length, 0)
  const tooLong = client.send('cid', 'x'.repeat(990)).catch((error: unknown) => error)
  network.last.welcome()
  t.equal(client.state, 'open')
  t.match(await tooLong, { code: 'CONTENT_TOO_LONG' }, 'the limit is known from the welcome on')
  const [frame] = network.last.of('send_msg')
  t.match(frame, { recipient: 'bob', content: 'hi', metadata: { a: 'b' }, timestamp: 1_700_000_000_000 })
  network.last.give({ type: 'ack', msg_id: frame?.['msg_id'], sequence_number: 7, timestamp: 9 })
  t.match(await sent, { sequenceNumber: 7, timestamp: 9 })
  t.equal(client.waiting, 0)
})

t.test('each close code is followed as the table says', async (t) => {
  for (const { code, reconnect } of Object.values(CLOSE)) {
    const { client, clock, network, state } = await opened()
    network.last.end(code)
    if (reconnect === 'no') {
      t.strictSame([client.state, state.ends], ['ended', [{ code }]], String(code))
      continue
    }
    t.equal(client.state, 'waiting', String(code))
    const delayMs = code === 4002 ? 30_000 : reconnect === 'backoff' || reconnect === 'after-fix' ? 250 : 500
    await clock.run(delayMs - 1)
    t.equal(network.sockets.length, 1, `${code} not before ${delayMs} ms`)
    await clock.run(1)
    t.equal(network.sockets.length, 2, `${code} after ${delayMs} ms`)
    t.equal(state.tokens, 2, 'with a token that is good now')
  }
  const unknown = await opened()
  unknown.network.last.end(4999)
  t.equal(unknown.client.state, 'waiting')
})

t.test('a gateway that ends says when to come back', async (t) => {
  const { client, clock, network } = await opened()
  network.last.give({ type: 'shutdown', reconnect_after_ms: 740, timestamp: 1 })
  t.equal(client.state, 'open', 'the close is the turn')
  network.last.end(1012)
  await clock.run(739)
  t.equal(network.sockets.length, 1)
  await clock.run(1)
  t.equal(network.sockets.length, 2)
})

t.test('failures back off with full jitter, up to half a minute, and a session that holds ends that', async (t) => {
  const { client, clock, network, state } = world({ token: () => { if (state.tokens++ === 1) throw new Error('no token'); return 'token' } })
  client.start()
  await settle()
  const delays: number[] = []
  for (let i = 0; i < 9; i++) {
    if (state.tokens - 1 !== 1) network.last.end(1006)
    const before = clock.monotonicMs()
    const attempts = state.tokens
    while (state.tokens === attempts) await clock.run(10)
    delays.push(clock.monotonicMs() - before)
  }
  t.strictSame(delays, [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000])
  network.last.welcome()
  await clock.run(10_000)
  network.last.end(1013)
  await clock.run(250)
  t.equal(state.tokens, 11)
  t.equal(client.sessions, 1)
})

t.test('an attempt without a welcome in ten seconds is given up; a late one is not heard', async (t) => {
  const { client, clock, network } = world()
  client.start()
  await settle()
  const [first] = network.sockets
  await clock.run(10_000)
  t.ok(first?.isClosed)
  t.equal(client.state, 'waiting')
  first?.welcome()
  first?.end(1006)
  t.equal(client.state, 'waiting')
  await clock.run(250)
  network.last.welcome()
  t.equal(client.state, 'open')
})

t.test('of one conversation one message is under way, in order; others pass', async (t) => {
  const { client, network } = await opened()
  const ids: string[] = []
  const sent = [client.send('bob', '1'), client.send('bob', '2'), client.send('group_1', '3')].map((promise) => promise.then(({ msgId }) => ids.push(msgId)))
  t.strictSame(network.last.of('send_msg').map((frame) => frame['content']), ['1', '3'])
  for (const content of ['1', '3', '2']) {
    const frame = network.last.of('send_msg').find((each) => each['content'] === content)
    network.last.give({ type: 'ack', msg_id: frame?.['msg_id'], sequence_number: 1, timestamp: 1 })
  }
  await Promise.all(sent)
  t.strictSame(network.last.of('send_msg').map((frame) => frame['content']), ['1', '3', '2'])
})

t.test('what was not accepted goes again with the same id, in the next session and after a retryable error', async (t) => {
  const { client, clock, network } = await opened()
  const [first, second] = [client.send('bob', 'one'), client.send('bob', 'two')]
  const id = network.last.of('send_msg')[0]?.['msg_id']
  network.last.give({ type: 'error', msg_id: id, error_code: 'RATE_LIMIT_EXCEEDED', retryable: true, retry_after_ms: 100 })
  network.last.give({ type: 'error', msg_id: id, error_code: 'RATE_LIMIT_EXCEEDED', retryable: true, retry_after_ms: 100 })
  await clock.run(100)
  t.strictSame(network.last.of('send_msg').map((frame) => frame['content']), ['one', 'one'])
  network.last.give({ type: 'error', msg_id: id, error_code: 'DEADLINE_EXCEEDED', retryable: true })
  network.last.end(4000)
  await clock.run(500)
  network.last.welcome()
  t.strictSame(network.last.of('send_msg').map((frame) => frame['msg_id']), [id], 'the one that waited to go again goes at once, and once')
  await clock.run(2_000)
  t.equal(network.last.of('send_msg').length, 1)
  network.last.give({ type: 'ack', msg_id: id, sequence_number: 1, timestamp: 1 })
  network.last.give({ type: 'error', msg_id: network.last.of('send_msg')[1]?.['msg_id'], error_code: 'RECIPIENT_NOT_FOUND', error_message: 'no', retryable: false })
  t.match(await first, { sequenceNumber: 1 })
  const refused = await second.catch((error: unknown) => error)
  t.ok(refused instanceof SendError && refused.code === 'RECIPIENT_NOT_FOUND' && refused.message === 'no')
})

t.test('a message is not waited for without end, nor kept without bound, nor sent where it cannot pass', async (t) => {
  const { client, clock, network } = await opened({ sendTimeoutMs: 5_000, maxWaiting: 3 })
  const late = client.send('bob', 'late').catch((error: unknown) => error)
  const next = client.send('bob', 'next').catch((error: unknown) => error)
  await t.rejects(client.send('bob', 'x'.repeat(990)), { code: 'CONTENT_TOO_LONG' })
  await t.rejects(client.send('cid', 'x'.repeat(990)), { code: 'CONTENT_TOO_LONG' })
  const third = client.send('dan', 'three', { msgId: 'm3' }).catch((error: unknown) => error)
  await t.rejects(client.send('eve', 'four'), { code: 'OVERLOADED' })
  await t.rejects(client.send('eve', 'again', { msgId: 'm3' }), { code: 'INVALID_MESSAGE' })
  await clock.run(5_000)
  t.ok(await late instanceof SendTimeoutError)
  t.ok(await next instanceof SendTimeoutError)
  t.ok(await third instanceof SendTimeoutError)
  const last = client.send('bob', 'last').catch((error: unknown) => error)
  client.close()
  t.match(await last, { code: 'CLIENT_ENDED' })
  await t.rejects(client.send('bob', 'too late'), { code: 'CLIENT_ENDED' })
  t.ok(network.last.isClosed)
  t.equal(clock.pendingTimers, 0)
})

t.test('what asks for it is acknowledged, each time; what was seen is shown once', async (t) => {
  const { network, state } = await opened()
  network.last.give(message(1, { ack_required: true }))
  network.last.give(message(1, { ack_required: true }))
  network.last.give(message(2, { recipient: 'group_1' }))
  network.last.give('not JSON')
  network.last.give('[]')
  network.last.give({ type: 'of-a-later-protocol' })
  t.strictSame(state.shown, ['bob m1', 'group_1 m2'])
  t.strictSame(network.last.of('ack').map((frame) => frame['msg_id']), ['m1', 'm1'])
  const receipt = { type: 'read_receipt', msg_id: 'm9', reader_id: 'bob', conversation_id: 'bob', read_at: 5, timestamp: 6 }
  network.last.give(receipt)
  network.last.give(receipt)
  t.strictSame(state.receipts, [{ msgId: 'm9', readerId: 'bob', conversationId: 'bob', readAt: 5 }])
})

t.test('a gap is closed from the history before the later message is shown', async (t) => {
  const asked: Array<[string, number]> = []
  let answer = (_messages: readonly Message[]): void => {}
  const { network, state } = await opened({ history: (conversation, after) => { asked.push([conversation, after]); return new Promise((resolve) => { answer = resolve }) } })
  network.last.give(message(1))
  network.last.give(message(4))
  network.last.give(message(5))
  t.strictSame(state.shown, ['bob m1'])
  await settle()
  answer([kept(2), kept(3), kept(4)])
  await settle()
  answer([])
  await settle()
  t.strictSame(state.shown, ['bob m1', 'bob m2', 'bob m3', 'bob m4', 'bob m5'])
  t.strictSame(asked, [['bob', 1], ['bob', 5]])
  t.strictSame(state.gaps, [])
})

t.test('a history that does not answer, or none, is a gap that is told', async (t) => {
  let calls = 0
  const { clock, network, state } = await opened({ history: () => { calls++; return Promise.reject(new Error('away')) } })
  network.last.give(message(1))
  network.last.give(message(3))
  await clock.run(10_000)
  t.equal(calls, 4)
  t.strictSame(state.gaps, [{ conversation: 'bob', after: 1, before: 3, error: new Error('away') }])
  t.strictSame(state.shown, ['bob m1', 'bob m3'])
  const without = await opened()
  without.network.last.give(message(1))
  without.network.last.give(message(3))
  await without.clock.run(1_000)
  t.strictSame(without.state.gaps, [{ conversation: 'bob', after: 1, before: 3 }])
})

t.test('after a new session the known conversations are read on; own messages are not shown to their sender', async (t) => {
  const { client, clock, network, state } = await opened({ history: async (_conversation, after) => after < 4 ? [kept(3), kept(4)] : [] })
  network.last.give(message(1))
  const sent = client.send('bob', 'mine', { msgId: 'm2' })
  network.last.give({ type: 'ack', msg_id: 'm2', sequence_number: 2, timestamp: 1 })
  await sent
  network.last.end(4001)
  await clock.run(500)
  network.last.welcome()
  await settle()
  t.strictSame(state.shown, ['bob m1', 'bob m3', 'bob m4'])
  network.last.give(message(2, { sender: 'ann', recipient: 'bob' }))
  t.equal(state.shown.length, 3)
})

t.test('a gateway that falls silent is left; a token is renewed before its end', async (t) => {
  const { client, clock, network, state } = await opened()
  for (let i = 0; i < 3; i++) {
    await clock.run(30_000)
    network.last.give({ type: 'heartbeat', timestamp: 1 })
  }
  t.equal(network.last.of('heartbeat').length, 3)
  network.last.give({ type: 'auth', token_expires_at: clock.unixMs() + 10_000, timestamp: clock.unixMs() })
  await clock.run(8_000)
  t.strictSame(network.last.of('auth').map((frame) => frame['token']), ['token-2'])
  network.last.give({ type: 'auth', token_expires_at: clock.unixMs() + 3_600_000, timestamp: clock.unixMs() })
  await clock.run(115_000)
  t.equal(client.state, 'connecting')
  t.equal(network.sockets.length, 2)
  t.ok(network.sockets[0]?.isClosed)
  t.equal(state.tokens, 3)
})
