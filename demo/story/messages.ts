/** Steps of people who talk: private messages, history, groups, receipts. */
import { SendError } from '../client.ts'
import { conversationOf } from '../stores/message-store.ts'
import { check, onAll, refusal, same, type Stage } from './stage.ts'

/** Two people with two devices each, and what the gateway says of them. */
export async function connect (stage: Stage): Promise<void> {
  const phone = await stage.seat('alice', 'phone')
  const { user_id: user, device_id: device, node_id: node, max_message_bytes: size } = phone.welcome
  same([user, device, node, size], [stage.user('alice'), 'phone', stage.gateway.nodeId, 10_240], 'welcome')
  await Promise.all([stage.seat('alice', 'laptop'), stage.seat('bob', 'phone'), stage.seat('bob', 'laptop'), stage.seat('carol', 'phone')])
  const { users } = await stage.world.gatewayClient.presence(stage.gateway.grpc, [stage.user('alice'), stage.user('nobody')])
  const here = users.filter(({ devices }) => devices.length > 0).map(({ userId, devices }) => [userId, devices.map(({ deviceId }) => deviceId).sort()])
  same(here, [[stage.user('alice'), ['laptop', 'phone']]], 'presence')
}

export async function privateMessage (stage: Stage): Promise<void> {
  const [phone, laptop] = [stage.seated('alice', 'phone'), stage.seated('alice', 'laptop')]
  const bobs = [stage.seated('bob', 'phone'), stage.seated('bob', 'laptop')]
  const first = await phone.send(stage.user('bob'), 'Hello Bob 👋', { metadata: { mood: 'sunny' } })
  const second = await phone.send(stage.user('bob'), 'Are you there?')
  same([first.sequenceNumber, second.sequenceNumber], [1, 2], 'sequence numbers')
  for (const frame of await onAll(bobs, first.msgId)) {
    const { sender, recipient, content, message_type: type, metadata, sequence_number: sequence, ack_required: asked } = frame
    same([sender, recipient, content, type, metadata, sequence, asked], [stage.user('alice'), stage.user('bob'), 'Hello Bob 👋', 'text', { mood: 'sunny' }, 1, true], 'the message')
  }
  await onAll([...bobs, laptop], second.msgId)
  same(phone.count(first.msgId), 0, 'copies to the sending device')
  const repeat = await phone.send(stage.user('bob'), 'Are you there?', { msgId: second.msgId })
  same(repeat.sequenceNumber, 2, 'the number of a repeat')
  const answer = await stage.seated('bob', 'laptop').send(stage.user('alice'), 'Yes!')
  same(answer.sequenceNumber, 3, 'the number of the answer')
  await onAll([phone, laptop], answer.msgId)
  const error = await refusal(phone.send(stage.user('nobody'), 'Hello?'), 'a message to nobody')
  same(error instanceof SendError && error.code, 'RECIPIENT_NOT_FOUND', 'the error')
}

export async function offlineAndBack (stage: Stage): Promise<void> {
  const alice = stage.seated('alice', 'phone')
  await Promise.all([stage.seated('bob', 'phone').close(), stage.seated('bob', 'laptop').close()])
  await stage.until('bob is offline', async () => await stage.world.directory.locate(stage.user('bob')) === undefined)
  const sent = []
  for (const content of ['one', 'two', 'three']) sent.push(await alice.send(stage.user('bob'), content))
  await Promise.all([stage.seat('bob', 'phone'), stage.seat('bob', 'laptop')])
  const missed = await stage.history('bob', conversationOf(stage.user('alice'), stage.user('bob'), false), 3)
  same(missed.map(({ content, sequence_number: sequence }) => [content, sequence]), [['one', 4], ['two', 5], ['three', 6]], 'the history')
  same(missed.map((entry) => entry.msg_id), sent.map(({ msgId }) => msgId), 'its ids')
}

export async function smallGroup (stage: Stage): Promise<void> {
  const group = stage.group('trio')
  stage.world.users.createGroup(group, ['alice', 'bob', 'carol'].map((name) => stage.user(name)))
  await stage.seat('dave', 'phone')
  const devices = [stage.seated('alice', 'phone'), stage.seated('alice', 'laptop'), stage.seated('bob', 'phone'), stage.seated('bob', 'laptop'), stage.seated('carol', 'phone')]
  const { msgId, sequenceNumber } = await stage.seated('carol', 'phone').send(group, 'Hello all')
  same(sequenceNumber, 1, 'the number')
  for (const frame of await onAll(devices, msgId)) {
    same([frame['sender'], frame['recipient'], frame['content'], frame['sequence_number'], frame['ack_required']], [stage.user('carol'), group, 'Hello all', 1, undefined], 'the message')
  }
  const error = await refusal(stage.seated('dave', 'phone').send(group, 'Let me in'), 'a message of a stranger')
  same(error instanceof SendError && error.code, 'NOT_GROUP_MEMBER', 'the error')
  same(stage.seated('dave', 'phone').count(msgId), 0, 'messages to a stranger')
}

export async function largeGroup (stage: Stage): Promise<void> {
  const group = stage.group('town')
  const others = Array.from({ length: 1_497 }, (_, i) => stage.user(`citizen${i}`))
  stage.world.users.createGroup(group, [...others, ...['alice', 'bob', 'carol'].map((name) => stage.user(name))])
  const here = [stage.seated('alice', 'phone'), stage.seated('bob', 'phone'), stage.seated('carol', 'phone')]
  const sent = []
  for (let i = 1; i <= 3; i++) sent.push(await stage.seated('bob', 'phone').send(group, `Town news ${i}`))
  same(sent.map(({ sequenceNumber }) => sequenceNumber), [1, 2, 3], 'the numbers')
  for (const { msgId } of sent) await onAll(here, msgId)
  same(stage.seated('dave', 'phone').count(sent[0]?.msgId ?? ''), 0, 'messages to a stranger')
}

export async function joinAndLeave (stage: Stage): Promise<void> {
  const group = stage.group('trio')
  const [carol, dave] = [stage.seated('carol', 'phone'), stage.seated('dave', 'phone')]
  for (const round of [1, 2]) {
    const told = dave.waitFor(({ type, event_type: event }) => type === 'membership_change' && event === 'join', 'word of the join')
    await stage.post('dave', `/groups/${group}/join`)
    const { group_id: groupId, user_id: userId } = await told
    same([groupId, userId], [group, stage.user('dave')], 'the change')
    const welcome = await carol.send(group, `Welcome Dave ${round}`)
    await onAll([carol, dave], welcome.msgId)
    await onAll([carol], (await dave.send(group, 'Thank you')).msgId)

    const gone = dave.waitFor(({ type, event_type: event }) => type === 'membership_change' && event === 'leave', 'word of the leave')
    await stage.post('dave', `/groups/${group}/leave`)
    await gone
    const behind = await carol.send(group, 'He is gone')
    await onAll([carol], behind.msgId)
    // What was written to him before this message has come, too.
    await onAll([dave], (await carol.send(stage.user('dave'), 'We miss you')).msgId)
    same(dave.count(behind.msgId), 0, 'messages after the leave')
    const error = await refusal(dave.send(group, 'And I you'), 'a message after the leave')
    same(error instanceof SendError && error.code, 'NOT_GROUP_MEMBER', 'the error')
  }
}

export async function readReceipt (stage: Stage): Promise<void> {
  const alices = [stage.seated('alice', 'phone'), stage.seated('alice', 'laptop')]
  const toBob = await stage.seated('alice', 'phone').send(stage.user('bob'), 'Did you read this?')
  const toAll = await stage.seated('alice', 'phone').send(stage.group('trio'), 'Did you all?')
  for (const [{ msgId }, reader, conversation] of [[toBob, 'bob', stage.user('bob')], [toAll, 'carol', stage.group('trio')]] as const) {
    const receipts = Promise.all(alices.map((client) => client.waitFor(({ type, msg_id: id }) => type === 'read_receipt' && id === msgId, 'the receipt')))
    await stage.post(reader, '/read', { sender_id: stage.user('alice'), msg_id: msgId })
    for (const receipt of await receipts) {
      same([receipt['reader_id'], receipt['conversation_id']], [stage.user(reader), conversation], 'the receipt')
      check(Number(receipt['read_at']) > 0, 'the receipt says when')
    }
  }
}
