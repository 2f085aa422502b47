/** Messages to the client: acknowledged, repeated, overtaking each other, missing. */
import { setTimeout as pause } from 'node:timers/promises'
import type { SendFrame } from '../../src/protocol/frames.ts'
import type { GatewaySession } from '../gateway-session.ts'
import type { Situation } from '../situation.ts'

const ACK_MS = 5_000
const GAP_MS = 15_000

/** Pushes a message, and resolves to whether an ack of it came since. A client may collect its acks for a while. */
async function isAcked (session: GatewaySession, msgId: string, sequenceNumber: number): Promise<boolean> {
  const from = session.frames.length
  session.push(msgId, sequenceNumber)
  return await session.frames.none(({ frame }) => frame.type === 'ack' && frame.msgIds.includes(msgId), ACK_MS, from) !== undefined
}

export const RECEIVING: readonly Situation[] = [
  {
    name: 'a message that comes three times, the last time on a new connection',
    ids: ['C-RCV-1', 'C-RCV-2', 'C-RCV-3'],
    async play ({ gateway, client, judge }) {
      const first = await gateway.session(0)
      judge('C-RCV-1', await isAcked(first, 'm1', 1), 'no ack came')
      const isRepeatAcked = await isAcked(first, 'm1', 1)
      first.cut()
      const second = await gateway.session(1)
      const isLaterAcked = await isAcked(second, 'm1', 1)
      judge('C-RCV-2', isRepeatAcked && isLaterAcked, `no ack came for a repeat on ${isRepeatAcked ? 'the next' : 'the same'} connection`)
      second.push('m2', 2)
      await client.events.next('message after the reconnect', (event) => event['msg_id'] === 'm2')
      await pause(1_000)
      const shown = client.shown.filter((msgId) => msgId === 'm1').length
      judge('C-RCV-3', shown === 1, `it was shown ${shown} times`)
    }
  },
  {
    name: 'messages that are missing',
    ids: ['C-RCV-4', 'C-RCV-5'],
    async play ({ gateway, client, judge }) {
      const session = await gateway.session(0)
      session.push('m1', 1)
      session.push('m4', 4)
      const shown = await client.events.none((event) => event['msg_id'] === 'm4', GAP_MS)
      judge('C-RCV-5', shown !== undefined, 'it was not shown')
      const gap = await client.events.none(({ event }) => event === 'gap', 1_000)
      judge('C-RCV-4', gap?.['after'] === 1 && gap['before'] === 4 && gap['conversation'] === 'bob', gap === undefined ? 'it told no gap' : `it told ${JSON.stringify(gap)} of what is missing after 1 and before 4 of bob`)
    }
  },
  {
    name: 'messages that overtake each other',
    ids: ['C-RCV-6', 'C-RCV-7'],
    async play ({ gateway, client, judge }) {
      const session = await gateway.session(0)
      for (const n of [1, 3, 2, 4]) session.push(`m${n}`, n)
      await client.events.none(() => client.shown.length >= 4, GAP_MS)
      await pause(500)
      judge('C-RCV-6', [...client.shown].sort().join() === 'm1,m2,m3,m4', `it showed ${client.shown.join(', ')}`)
      judge('C-RCV-7', client.shown.join() === 'm1,m2,m3,m4', `it showed ${client.shown.join(', ')}`)
    }
  },
  {
    name: 'the copies of group messages for their sender',
    ids: ['C-RCV-8'],
    async play ({ gateway, client, judge }) {
      const session = await gateway.session(0)
      const copy = ({ msgId, content }: SendFrame, sequenceNumber: number): void => { session.push(msgId, sequenceNumber, { sender: 'ann', recipient: 'group_1', content }, false) }
      const ref = client.send('group_1', 'to all')
      const { frame: first } = await session.next('send_msg')
      await client.outcome(ref)
      copy(first, 1)
      // It comes by another way than the ack, which may be the longer one.
      session.onSend = () => {}
      const laterRef = client.send('group_1', 'to all again')
      const { frame: second } = await session.next('send_msg', ({ content }) => content === 'to all again')
      copy(second, 2)
      await pause(100)
      session.ack(second.msgId, 2)
      await client.outcome(laterRef)
      session.push('m3', 3, { recipient: 'group_1' }, false)
      await client.events.next('message of the group', (event) => event['msg_id'] === 'm3')
      judge('C-RCV-8', !client.shown.includes(first.msgId), 'it was shown to its sender')
      judge('C-RCV-8', !client.shown.includes(second.msgId), 'it was shown to its sender, as it overtook the ack')
    }
  },
  {
    name: 'a message that overtakes an ack',
    ids: ['C-RCV-9'],
    async play ({ gateway, client, judge }) {
      const session = await gateway.session(0)
      session.onSend = () => {}
      session.push('m1', 1)
      await client.events.next('message', (event) => event['msg_id'] === 'm1')
      const ref = client.send('bob', 'mine')
      const { frame } = await session.next('send_msg')
      session.push('m3', 3)
      await pause(100)
      session.ack(frame.msgId, 2)
      await client.outcome(ref)
      session.push('m4', 4)
      await client.events.next('message after it', (event) => event['msg_id'] === 'm4')
      const gap = await client.events.none(({ event }) => event === 'gap', 2_000)
      judge('C-RCV-9', gap === undefined, `it told ${JSON.stringify(gap)}`)
    }
  }
]
