/** Messages of the client: slow answers, none, errors, order, size. */
import { setTimeout as pause } from 'node:timers/promises'
import { isOutcome } from '../client-process.ts'
import { TOLERANCE_MS, type Situation } from '../situation.ts'

const SLOW_MS = 2_000
const RETRY_AFTER_MS = 1_500
/** What a client starts with a message, a timer of up to 15 s, has gone off as well. */
const WATCH_MS = 16_000
const SMALL_FRAME_BYTES = 1_000

export const SENDING: readonly Situation[] = [
  {
    name: 'an ack that is slow',
    ids: ['C-SND-1'],
    async play ({ gateway, client, judge }) {
      const session = await gateway.session(0)
      session.onSend = () => {}
      const ref = client.send('bob', 'slow')
      const { frame } = await session.next('send_msg')
      const early = await client.events.none((event) => isOutcome(event, ref), SLOW_MS)
      session.ack(frame.msgId, 41)
      const outcome = await client.outcome(ref)
      judge('C-SND-1', early === undefined && outcome.event === 'sent' && outcome['sequence_number'] === 41, early === undefined ? `it said ${JSON.stringify(outcome)}` : `it said "${early.event}" before the ack`)
    }
  },
  {
    name: 'a connection that is lost before the ack',
    ids: ['C-SND-2'],
    async play ({ gateway, client, judge }) {
      const first = await gateway.session(0)
      first.onSend = () => {}
      const ref = client.send('bob', 'once more')
      const { frame } = await first.next('send_msg')
      first.cut()
      const second = await gateway.session(1)
      const { frame: again } = await second.next('send_msg')
      const { event } = await client.outcome(ref)
      judge('C-SND-2', again.msgId === frame.msgId && again.content === frame.content && event === 'sent', again.msgId === frame.msgId ? `it said "${event}"` : 'it came with another msg_id')
    }
  },
  {
    name: 'a message that is never answered',
    ids: ['C-SND-3'],
    async play ({ gateway, client, judge }) {
      const session = await gateway.session(0)
      session.onSend = () => {}
      client.send('bob', 'hello?')
      await session.next('send_msg')
      const again = await session.frames.none(({ frame }) => frame.type === 'send_msg' && session.sent.length > 1, 15_000)
      judge('C-SND-3', again !== undefined && new Set(session.sent.map(({ msgId }) => msgId)).size === 1, again === undefined ? 'it was not sent again' : 'it came with another msg_id')
    }
  },
  {
    name: 'errors that are retryable',
    ids: ['C-SND-4', 'C-SND-5'],
    async play ({ gateway, client, judge }) {
      const session = await gateway.session(0)
      session.onSend = ({ msgId }) => {
        if (session.sent.length === 1) session.error('RATE_LIMIT_EXCEEDED', { msgId, retryAfterMs: RETRY_AFTER_MS })
        else if (session.sent.length === 2) session.error('DEADLINE_EXCEEDED', { msgId })
        else session.ack(msgId)
      }
      const ref = client.send('bob', 'again')
      const { event } = await client.outcome(ref, 30_000)
      const times = session.frames.all.flatMap(({ frame, atMs }) => frame.type === 'send_msg' ? [atMs] : [])
      const ids = new Set(session.sent.map(({ msgId }) => msgId))
      judge('C-SND-4', event === 'sent' && times.length === 3 && ids.size === 1, event !== 'sent' ? 'it gave up' : ids.size > 1 ? 'it came with another msg_id' : 'it was called sent before its ack')
      const pauseMs = (times[1] ?? Infinity) - (times[0] ?? 0)
      judge('C-SND-5', times.length > 1 && pauseMs >= RETRY_AFTER_MS - TOLERANCE_MS, times.length > 1 ? `it came after ${Math.round(pauseMs)} ms instead of ${RETRY_AFTER_MS}` : 'it did not come again')
    }
  },
  {
    name: 'a service that is away for a while',
    ids: ['C-SND-5'],
    async play ({ gateway, client, judge }) {
      const session = await gateway.session(0)
      session.onSend = ({ msgId }) => { session.error('SERVICE_UNAVAILABLE', { msgId, retryAfterMs: RETRY_AFTER_MS }) }
      client.send('bob', 'again and again')
      const times: number[] = []
      const pauseMs = (): number => (times.at(-1) ?? 0) - (times.at(-2) ?? -Infinity)
      // For a time, not so many refusals: whoever waits longer than it has to sees fewer of them.
      const early = await session.frames.none(({ frame, atMs }) => frame.type === 'send_msg' && times.push(atMs) > 1 && pauseMs() < RETRY_AFTER_MS - TOLERANCE_MS, WATCH_MS)
      judge('C-SND-5', times.length > 1 && early === undefined, times.length > 1 ? `it came after ${Math.round(pauseMs())} ms instead of ${RETRY_AFTER_MS}` : 'it did not come again')
    }
  },
  {
    name: 'errors that are for good',
    ids: ['C-SND-6', 'C-ERR-1'],
    async play ({ gateway, client, judge }) {
      const session = await gateway.session(0)
      session.onSend = ({ msgId }) => { session.error('RECIPIENT_NOT_FOUND', { msgId }) }
      const ref = client.send('nobody', 'hello')
      const outcome = await client.outcome(ref)
      const again = await session.frames.none(({ frame }) => frame.type === 'send_msg' && session.sent.length > 1, WATCH_MS)
      judge('C-SND-6', again === undefined && outcome.event === 'failed' && outcome['error_code'] === 'RECIPIENT_NOT_FOUND', again === undefined ? `it said ${JSON.stringify(outcome)}` : 'it was sent again')
      session.onSend = ({ msgId }) => { session.ack(msgId) }
      session.error('INTERNAL_ERROR')
      const { event } = await client.outcome(client.send('bob', 'hello'))
      judge('C-ERR-1', event === 'sent' && session.isOpen && gateway.sessions.length === 1, 'the connection did not survive it')
    }
  },
  {
    name: 'one of several messages has to go again',
    ids: ['C-SND-7'],
    async play ({ gateway, client, judge }) {
      const session = await gateway.session(0)
      const accepted: string[] = []
      let isFirst = true
      session.onSend = ({ msgId, content }) => {
        if (isFirst) session.error('SERVICE_UNAVAILABLE', { msgId, retryAfterMs: 500 })
        else {
          accepted.push(content)
          session.ack(msgId)
        }
        isFirst = false
      }
      for (const ref of ['one', 'two', 'three'].map((content) => client.send('bob', content))) await client.outcome(ref, 20_000)
      judge('C-SND-7', accepted.join() === 'one,two,three', `it became ${accepted.join(', ')}`)
    }
  },
  {
    name: 'a message that is too large',
    ids: ['C-SND-8', 'C-SND-9'],
    settings: { maxMessageBytes: SMALL_FRAME_BYTES },
    async play ({ gateway, client, judge }) {
      const tooLarge = (): number => gateway.sessions.all.flatMap(({ oversize }) => oversize).length
      await gateway.session(0)
      const ref = client.send('bob', 'x'.repeat(2 * SMALL_FRAME_BYTES))
      const told = await client.events.none((event) => isOutcome(event, ref), WATCH_MS)
      if (tooLarge() > 0) {
        // Time to come back and to do it again.
        await gateway.session(1)
        await pause(WATCH_MS)
      }
      const { event } = await client.outcome(client.send('cid', 'small'), 20_000)
      const large = tooLarge()
      judge('C-SND-8', large <= 1 && event === 'sent', large > 1 ? `it came ${large} times` : 'what is small did not pass any more')
      judge('C-SND-9', large === 0 && told?.event === 'failed', large === 0 ? `it said ${told?.event ?? 'nothing'}` : 'it was sent')
    }
  }
]
