import t from 'tap'
import { realClock } from '../../client/src/clock.ts'
import { ConnectionError, ImClient, ImError, SendError, type ImClientOptions } from '../../client/src/index.ts'
import { CLOSE } from '../../src/protocol/close-codes.ts'
import { message, opened, world } from '../helpers/client-world.ts'
import { settle } from '../helpers/manual-clock.ts'

const HOUR_MS = 3_600_000

t.test('a token\'s life is measured by the gateway\'s clock: one\'s own may be hours ahead or behind', async (t) => {
  for (const jumpMs of [2 * HOUR_MS, -2 * HOUR_MS, 0]) {
    const { clock, network } = await opened()
    clock.jumpUnix(jumpMs)
    network.last.welcome({ heartbeat_interval_ms: 10 * HOUR_MS })
    await clock.run(0.8 * HOUR_MS - 1)
    t.equal(network.last.of('auth').length, 0, `${jumpMs} ms off`)
    await clock.run(1)
    t.equal(network.last.of('auth').length, 1, `${jumpMs} ms off`)
  }
})

t.test('a token that is never renewed is asked for a few times, never in a loop', async (t) => {
  const { clock, network, state } = await opened()
  network.last.welcome({ token_expires_at: 1_700_000_100_000 })
  await clock.run(80_000)
  t.equal(network.last.of('auth').length, 1)
  network.last.give({ type: 'error', error_code: 'TOKEN_EXPIRED', error_message: 'the token has expired', timestamp: 1 })
  t.ok(state.errors[0] instanceof ConnectionError && state.errors[0].code === 'TOKEN_EXPIRED')
  // A gateway that says the same moment again.
  for (let i = 0; i < 19; i++) {
    network.last.give({ type: 'auth', token_expires_at: 1_700_000_100_000, timestamp: clock.unixMs() })
    await clock.run(1_000)
  }
  t.ok(network.last.of('auth').length < 8, String(network.last.of('auth').length))
  t.equal(network.sockets.length, 1)
})

t.test('a renewal whose token does not come is tried again before the end', async (t) => {
  let calls = 0
  const { clock, network } = await opened({ token: () => { if (++calls === 2) throw new Error('away'); return `token-${calls}` } })
  network.last.welcome({ token_expires_at: 1_700_000_100_000, heartbeat_interval_ms: HOUR_MS })
  await clock.run(80_000)
  t.equal(calls, 2)
  t.equal(network.last.of('auth').length, 0)
  await clock.run(16_000)
  t.strictSame(network.last.of('auth').map(({ token }) => token), ['token-3'])
})

t.test('a token that no subprotocol may have, and an address that is none, end the client with a typed error', async (t) => {
  class Picky { constructor (url: string) { throw new SyntaxError(`no ${url}`) } }
  const cases = [
    [{ token: () => 'a b' }, 'INVALID_TOKEN'],
    [{ token: () => '' }, 'INVALID_TOKEN'],
    [{ token: () => undefined as never }, 'INVALID_TOKEN'],
    [{ url: 'no address' }, 'CANNOT_CONNECT'],
    [{ url: () => { throw new Error('no node') } }, 'CANNOT_CONNECT'],
    [{ WebSocket: Picky as never }, 'CANNOT_CONNECT']
  ] as const
  for (const [options, code] of cases) {
    const { client, clock, network, state } = world(options)
    client.start()
    const waiting = client.send('bob', 'hi').catch((error: unknown) => error)
    await settle()
    t.equal(client.state, 'ended', code)
    const [end] = state.ends
    t.equal(end?.code, 1006)
    t.ok(end?.error instanceof ConnectionError && end.error instanceof ImError && end.error.code === code, code)
    t.equal(state.errors[0], end?.error)
    t.equal(end?.error?.cause === undefined, code === 'INVALID_TOKEN')
    const refused = await waiting
    t.ok(refused instanceof SendError && refused.code === 'CLIENT_ENDED')
    t.equal(network.sockets.length, 0)
    t.equal(clock.pendingTimers, 0)
  }
})

t.test('a token provider that does not answer is told, and asked again; what it says late is nobody\'s', async (t) => {
  const answers: Array<(token: string) => void> = []
  const { client, clock, network, state } = world({ token: () => new Promise((resolve) => { answers.push(resolve) }) })
  client.start()
  await clock.run(10_250)
  t.match(state.errors, [{ code: 'NO_TOKEN', cause: /within 10000 ms/ }])
  t.equal(answers.length, 2)
  answers[0]?.('late')
  await settle()
  t.equal(network.sockets.length, 0)
  answers[1]?.('token')
  await settle()
  t.equal(network.sockets.length, 1)
})

t.test('a gateway that lets in and throws out again is not stormed', async (t) => {
  const { clock, network } = await opened()
  const delays: number[] = []
  for (let i = 0; i < 5; i++) {
    network.last.end(4401)
    const [before, sockets] = [clock.monotonicMs(), network.sockets.length]
    while (network.sockets.length === sockets) await clock.run(10)
    delays.push(clock.monotonicMs() - before)
    network.last.welcome()
  }
  t.strictSame(delays, [500, 500, 1_000, 2_000, 4_000])
  await clock.run(10_000)
  network.last.end(4401)
  await clock.run(500)
  t.equal(network.sockets.length, 7)
})

t.test('an error of the application comes up as its own and breaks nothing', async (t) => {
  const real = globalThis.queueMicrotask
  const later: Array<() => void> = []
  t.teardown(() => { globalThis.queueMicrotask = real })
  const { client, network } = await opened({ onMessage: () => { throw new Error('of the application') } })
  globalThis.queueMicrotask = (call) => { later.push(call) }
  network.last.give({ type: 'message', msg_id: 'm1', sender: 'bob', recipient: 'ann', content: '', timestamp: 1, sequence_number: 1, ack_required: true })
  t.equal(network.last.of('ack').length, 1)
  t.equal(client.state, 'open')
  t.throws(() => later[0]?.(), /of the application/)
})

t.test('a close in place of a welcome is followed as the table says: a device over the limit does not knock again and again', async (t) => {
  for (const { code, reconnect } of Object.values(CLOSE)) {
    const { client, clock, network, state } = world()
    client.start()
    await settle()
    network.last.end(code)
    if (reconnect === 'no') {
      t.strictSame([client.state, state.ends, clock.pendingTimers], ['ended', [{ code }], 0], String(code))
      continue
    }
    await clock.run(code === 4002 ? 29_999 : 249)
    t.equal(network.sockets.length, 1, String(code))
    await clock.run(1)
    t.equal(network.sockets.length, 2, String(code))
  }
})

t.test('a gateway that leaves out what it should say is not stormed', async (t) => {
  const { clock, network } = await opened()
  network.last.welcome({ heartbeat_interval_ms: undefined, heartbeat_timeout_ms: undefined, token_expires_at: undefined, max_message_bytes: undefined, timestamp: undefined })
  await clock.run(45_000)
  network.last.give({ type: 'heartbeat', timestamp: 1 })
  await clock.run(50_000)
  t.equal(network.last.of('heartbeat').length, 3)
  t.equal(network.last.of('auth').length, 0)
  for (const [said, delayMs] of [[undefined, 500], ['soon', 500], [-5, 1_000]] as const) {
    const { length } = network.sockets
    network.last.give({ type: 'shutdown', reconnect_after_ms: said, timestamp: 1 })
    network.last.end(1012)
    await clock.run(delayMs - 1)
    t.equal(network.sockets.length, length, String(said))
    await clock.run(1)
    t.equal(network.sockets.length, length + 1, String(said))
  }
})

t.test('a connection that is silent is left after three intervals where the gateway names no timeout', async (t) => {
  for (const [intervalMs, deadMs] of [[undefined, 90_000], [1_000, 3_000]] as const) {
    const { client, clock, network } = await opened()
    network.last.end(1006)
    await clock.run(500)
    network.last.welcome({ heartbeat_interval_ms: intervalMs, heartbeat_timeout_ms: undefined, token_expires_at: undefined })
    await clock.run(deadMs - 1)
    t.equal(client.state, 'open')
    await clock.run(1)
    t.equal(client.state, 'waiting')
    t.equal(network.sockets[1]?.isClosed, true)
  }
})

t.test('what is no frame, or comes twice, or after the end, breaks nothing', async (t) => {
  const { client, network, state } = await opened()
  for (const noise of ['', 'null', '[]', '7', '{"type":7}', '{', '\u0000', '{"type":"ack"}', '{"type":"ack","msg_id":null}', '{"type":"error"}', '{"type":"message"}', '{"type":"auth"}', '{"type":"read_receipt"}', '{"type":"membership_change"}']) network.last.give(noise)
  network.last.welcome()
  const sent = client.send('bob', 'hi')
  const ack = { type: 'ack', msg_id: network.last.of('send_msg')[0]?.['msg_id'], sequence_number: 1, timestamp: 1 }
  network.last.give(ack)
  network.last.give(ack)
  t.match(await sent, { sequenceNumber: 1 })
  t.equal(client.state, 'open')
  client.close()
  const shown = state.shown.length
  network.last.give({ type: 'message', msg_id: 'late', sender: 'bob', recipient: 'ann', content: 'hi', timestamp: 1, sequence_number: 2, ack_required: true })
  network.last.end(1006)
  t.strictSame([state.shown.length, network.last.of('ack').length, client.state], [shown, 0, 'ended'])
})

t.test('whoever looks again and again learns no later that the connection is dead', async (t) => {
  const { client, clock, network } = await opened()
  await clock.run(1)
  for (let i = 0; i < 5; i++) {
    client.background()
    client.foreground()
    await clock.run(1_000)
  }
  t.equal(network.last.of('heartbeat').length, 1)
  t.equal(network.sockets[0]?.isClosed, true)
  await clock.run(500)
  t.equal(network.sockets.length, 2)
})

t.test('once it has ended nothing is left of it, whatever was under way, and it is not used again', async (t) => {
  const never = async (): Promise<never> => await new Promise<never>(() => {})
  const asking = world({ token: never })
  asking.client.start()
  await settle()
  const reading = await opened({ history: never })
  for (const n of [1, 5]) reading.network.last.give(message(n))
  await settle()
  let asked = 0
  const renewing = await opened({ token: () => ++asked === 1 ? 'token' : never() })
  await renewing.clock.run(0.8 * HOUR_MS)
  const failing = await opened({ history: () => Promise.reject(new Error('away')) })
  for (const n of [1, 5]) failing.network.last.give(message(n))
  await settle()
  for (const { client, clock, network, state } of [asking, reading, renewing, failing]) {
    const waiting = client.send('bob', 'hi').catch((error: unknown) => error)
    t.ok(clock.pendingTimers > 0)
    const { length } = network.sockets
    client.close()
    client.close()
    t.equal(clock.pendingTimers, 0)
    client.start()
    client.background()
    client.foreground()
    t.match(await waiting, { code: 'CLIENT_ENDED' })
    t.match(await client.send('bob', 'hi').catch((error: unknown) => error), { code: 'CLIENT_ENDED' })
    await clock.run(60_000)
    t.strictSame([client.state, state.ends.length, network.sockets.length, clock.pendingTimers], ['ended', 1, length, 0])
  }
})

t.test('a client that is ended in any of its callbacks has ended', async (t) => {
  for (const at of ['connecting', 'open', 'waiting', 'paused', 'ended'] as const) {
    const { client, clock, network, state } = world({ onState: (entered) => { if (entered === at) client.close() } })
    client.start()
    client.start()
    await settle()
    if (at !== 'connecting') network.last.welcome()
    if (at === 'waiting') network.last.end(1006)
    client.background()
    await clock.run(60_000)
    client.close()
    t.strictSame([client.state, state.ends, clock.pendingTimers], ['ended', [{ code: 1000 }], 0], at)
  }
})

t.test('options that are undefined are none, and a time without end is none that is over at once', async (t) => {
  const { client, clock, network } = await opened({ maxWaiting: undefined, sendTimeoutMs: undefined, backgroundMs: Infinity } as unknown as Partial<ImClientOptions>)
  const outcomes = Array.from({ length: 1_001 }, (_, i) => client.send('bob', 'hi', { msgId: `m${i}` }).catch((error: unknown) => error))
  t.match(await outcomes[1_000], { code: 'OVERLOADED' })
  client.background()
  await clock.run(59_999)
  t.strictSame([client.waiting, client.state], [1_000, 'open'])
  network.last.give({ type: 'heartbeat', timestamp: 1 })
  await clock.run(1)
  t.match(await outcomes[0], { code: 'TIMEOUT' })
  client.close()
  const delays: number[] = []
  const real = new ImClient({ url: 'ws://localhost/ws', token: () => 'a', sendTimeoutMs: Infinity, clock: { ...realClock, setTimer: (_call, delayMs) => delays.push(delayMs), clearTimer: () => {} } })
  const kept = real.send('bob', 'hi').catch(() => {})
  t.strictSame(delays, [2 ** 31 - 1], 'what timers of JavaScript can wait for')
  real.close()
  await kept
})
