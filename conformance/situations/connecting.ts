/** The first connection, tokens and their renewal, heartbeats, the end that the user wants. */
import { setTimeout as pause } from 'node:timers/promises'
import { CLOSE } from '../../src/protocol/close-codes.ts'
import { SUBPROTOCOL } from '../../src/protocol/subprotocol.ts'
import type { Situation } from '../situation.ts'

const MAX_AUTHS = 3
const SILENT_TIMEOUT_MS = 1_500

export const CONNECTING: readonly Situation[] = [
  {
    name: 'a welcome that takes its time',
    ids: ['C-CON-1', 'C-CON-2'],
    settings: { welcomeAfterMs: 1_000 },
    async play ({ gateway, client, judge }) {
      const early: number[] = []
      gateway.onSession = (session) => { setTimeout(() => { early.push(session.frames.length + session.oversize.length) }, 900) }
      const ref = client.send('bob', 'hello')
      const { subprotocols, token } = await gateway.attempts.next('attempt to connect', () => true, { timeoutMs: 20_000 })
      judge('C-CON-1', subprotocols?.split(/, */).includes(SUBPROTOCOL) === true && gateway.issuedMs(token) !== undefined, `it offered ${subprotocols ?? 'nothing'}, with ${token === '' ? 'no token' : 'a token'}`)
      await gateway.session(0)
      await client.outcome(ref)
      judge('C-CON-2', early[0] === 0, `${early[0] ?? 0} frames came before the welcome`)
    }
  },
  {
    name: 'frames of a later protocol',
    ids: ['C-CON-3'],
    async play ({ gateway, client, judge }) {
      const session = await gateway.session(0)
      session.say({ type: 'reaction', msg_id: 'r1', emoji: '👍', timestamp: 1 })
      session.say({ type: 'message', msg_id: 'later-1', sender: 'bob', recipient: 'ann', content: 'hi', message_type: 'hologram', thread: { id: 7 }, timestamp: 1, sequence_number: 1, ack_required: true })
      await client.events.next('message that has a field too many', (event) => event['msg_id'] === 'later-1')
      const { event } = await client.outcome(client.send('bob', 'still here'))
      judge('C-CON-3', session.isOpen && gateway.sessions.length === 1 && event === 'sent', 'the connection did not survive it')
    }
  },
  {
    name: 'a token that ends soon',
    ids: ['C-TOK-1', 'C-TOK-2'],
    settings: { tokenLifeMs: 8_000 },
    async play ({ gateway, judge }) {
      const session = await gateway.session(0)
      const renewal = await session.frames.none(({ frame }) => frame.type === 'auth', 7_900)
      const token = renewal?.frame.type === 'auth' ? renewal.frame.token : undefined
      judge('C-TOK-1', token !== undefined && token !== session.token && gateway.issuedMs(token) !== undefined, token === undefined ? 'no `auth` frame came' : 'it was no fresh token')
      await pause(3_000)
      const auths = session.frames.all.filter(({ frame }) => frame.type === 'auth').length
      judge('C-TOK-2', auths <= MAX_AUTHS, `${auths} auth frames`)
    }
  },
  {
    name: 'a gateway whose clock is an hour behind',
    ids: ['C-TOK-2'],
    settings: { tokenLifeMs: 600_000, clockOffsetMs: -3_600_000 },
    async play ({ gateway, judge }) {
      const session = await gateway.session(0)
      await pause(3_000)
      const auths = session.frames.all.filter(({ frame }) => frame.type === 'auth').length
      judge('C-TOK-2', session.isOpen && auths <= MAX_AUTHS, `${auths} auth frames in 3 s`)
    }
  },
  {
    name: 'a renewal that is refused, and a token that ends',
    ids: ['C-TOK-2', 'C-TOK-3'],
    settings: { tokenLifeMs: 6_000 },
    async play ({ gateway, judge }) {
      const session = await gateway.session(0)
      session.onAuth = () => { session.error('INVALID_TOKEN') }
      await pause(6_000)
      const auths = session.frames.all.filter(({ frame }) => frame.type === 'auth').length
      judge('C-TOK-2', auths <= MAX_AUTHS, `${auths} auth frames in 6 s`)
      const closedMs = session.close(CLOSE.tokenExpired)
      const next = await gateway.session(1)
      judge('C-TOK-3', (gateway.issuedMs(next.token) ?? 0) >= closedMs, 'it came back with a token that it had before')
    }
  },
  {
    name: 'pings',
    ids: ['C-HBT-1'],
    async play ({ gateway, judge }) {
      const session = await gateway.session(0)
      session.ping('are you there')
      const pong = await session.pongs.none((data) => data === 'are you there', 5_000)
      judge('C-HBT-1', pong !== undefined, 'no pong came')
    }
  },
  {
    name: 'a gateway that falls silent',
    ids: ['C-HBT-2'],
    settings: { heartbeatIntervalMs: 500, heartbeatTimeoutMs: SILENT_TIMEOUT_MS },
    async play ({ gateway, judge }) {
      const session = await gateway.session(0)
      session.isSilent = true
      const again = await gateway.attempts.none(() => true, 10 * SILENT_TIMEOUT_MS, 1)
      judge('C-HBT-2', again !== undefined, 'it waited on')
    }
  },
  {
    name: 'a user who leaves',
    ids: ['C-CLS-1'],
    async play ({ gateway, client, judge }) {
      const session = await gateway.session(0)
      client.close()
      const closed = await session.closes.none(() => true, 5_000)
      const again = await gateway.attempts.none(() => true, 2_000, 1)
      judge('C-CLS-1', closed?.code === 1000 && again === undefined, again !== undefined ? 'it connected again' : `it closed with ${closed?.code ?? 'nothing'}`)
    }
  }
]
