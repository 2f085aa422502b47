import t from 'tap'
import { ConnectionError, ImError, SendError } from '../../client/src/index.ts'
import { opened, world } from '../helpers/client-world.ts'
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
