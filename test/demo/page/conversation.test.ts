import t from 'tap'
import type { Message } from '../../../client/src/index.ts'
import { Conversation } from '../../../demo/page/conversation.ts'

function message (sequenceNumber: number, fields: Partial<Message> = {}): Message {
  return { msgId: `m${sequenceNumber}`, sender: 'bob', recipient: 'alice', content: 'hi', messageType: 'text', metadata: {}, timestamp: sequenceNumber, sequenceNumber, ...fields }
}

t.test('messages stand in the order of their numbers, and what is not accepted yet after all of them', async (t) => {
  const conversation = new Conversation('bob', 'alice')
  conversation.send('own', 'hello', 5)
  conversation.receive(message(3), 12, false)
  conversation.receive(message(1), undefined, false)
  t.strictSame(conversation.entries.map(({ msgId }) => msgId), ['m1', 'm3', 'own'])
  conversation.accepted('own', 2, 8)
  t.strictSame(conversation.entries.map(({ msgId }) => msgId), ['m1', 'own', 'm3'])
  t.match(conversation.entries[1], { tick: 'accepted', latencyMs: 8, isOwn: true })
})

t.test('a tick never goes back, whatever comes first', async (t) => {
  const conversation = new Conversation('bob', 'alice')
  conversation.send('own', 'hello', 5)
  t.match(conversation.entries, [{ tick: 'waiting' }])
  conversation.delivered('own')
  conversation.accepted('own', 1, 8)
  t.match(conversation.entries, [{ tick: 'delivered', sequenceNumber: 1 }])
  conversation.readBy('own', 'bob', 1)
  conversation.delivered('own')
  t.match(conversation.entries, [{ tick: 'read' }])
  for (const call of [() => conversation.delivered('x'), () => conversation.accepted('x', 1, 1), () => conversation.readBy('x', 'bob', 1), () => conversation.refused('x', 'y')]) call()
  t.equal(conversation.entries.length, 1, 'what is not known is passed over')
})

t.test('a message to a group is read when all others have read it', async (t) => {
  const conversation = new Conversation('group_a', 'alice')
  conversation.send('own', 'hello', 5)
  conversation.accepted('own', 1, 8)
  conversation.readBy('own', 'bob', 2)
  conversation.readBy('own', 'bob', 2)
  t.match(conversation.entries, [{ tick: 'accepted' }])
  conversation.readBy('own', 'carol', 2)
  t.match(conversation.entries, [{ tick: 'read' }])
})

t.test('what comes twice stands once; only what others wrote is unread', async (t) => {
  const conversation = new Conversation('bob', 'alice')
  t.equal(conversation.receive(message(1), 5, false), true)
  t.equal(conversation.receive(message(1), undefined, false), false)
  conversation.receive(message(2, { sender: 'alice' }), undefined, false)
  conversation.receive(message(3), undefined, true)
  t.strictSame(conversation.unread.map(({ msgId }) => msgId), ['m1'])
})

t.test('a refusal is kept with its message; the oldest of many leave', async (t) => {
  const conversation = new Conversation('bob', 'alice')
  conversation.send('own', 'hello', 5)
  conversation.refused('own', 'NOT_GROUP_MEMBER')
  t.match(conversation.entries, [{ error: 'NOT_GROUP_MEMBER' }])
  for (let i = 1; i <= 200; i++) conversation.receive(message(i), undefined, true)
  t.equal(conversation.entries.length, 200)
  t.notMatch(conversation.entries.map(({ msgId }) => msgId), ['own'])
})
