/** Messages to the client: acknowledged, repeated, overtaking each other, missing. */
import { setTimeout as pause } from 'node:timers/promises'
import type { GatewaySession } from '../gateway-session.ts'
import type { Situation } from '../situation.ts'

const ACK_MS = 5_000
const GAP_MS = 15_000

const acksOf = (session: GatewaySession, msgId: string): number => session.frames.all.filter(({ frame }) => frame.type === 'ack' && frame.msgIds.includes(msgId)).length

export const RECEIVING: readonly Situation[] = [
  {
    name: 'a message that comes three times, the last time on a new connection',
    ids: ['C-RCV-1', 'C-RCV-2', 'C-RCV-3'],
    async play ({ gateway, client, judge }) {
      const first = await gateway.session(0)
      first.push('m1', 1)
      const acked = await first.frames.none(({ frame }) => frame.type === 'ack' && frame.msgIds.includes('m1'), ACK_MS)
      judge('C-RCV-1', acked !== undefined, 'no ack came')
      first.push('m1', 1)
      await pause(1_000)
      const repeated = acksOf(first, 'm1')
      first.cut()
      const second = await gateway.session(1)
      second.push('m1', 1)
      second.push('m2', 2)
      await client.events.next('message after the reconnect', (event) => event['msg_id'] === 'm2')
      await pause(1_000)
      judge('C-RCV-2', repeated === 2 && acksOf(second, 'm1') === 1, `${repeated} acks for two on one connection, ${acksOf(second, 'm1')} for one on the next`)
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
    name: 'the copy of a group message for its sender',
    ids: ['C-RCV-8'],
    async play ({ gateway, client, judge }) {
      const session = await gateway.session(0)
      const ref = client.send('group_1', 'to all')
      const { frame } = await session.next('send_msg')
      await client.outcome(ref)
      session.push(frame.msgId, 1, { sender: 'ann', recipient: 'group_1', content: 'to all' }, false)
      session.push('m2', 2, { recipient: 'group_1' }, false)
      await client.events.next('message of the group', (event) => event['msg_id'] === 'm2')
      judge('C-RCV-8', !client.shown.includes(frame.msgId), 'it was shown to its sender')
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
