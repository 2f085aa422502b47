import t from 'tap'
import { buildHttp } from '../../demo/http.ts'
import { AuthStandIn } from '../../demo/services/auth.ts'
import { Receipts } from '../../demo/services/receipts.ts'
import { UsersStandIn } from '../../demo/services/users.ts'
import { MemoryMessageStore } from '../../demo/stores/memory-message-store.ts'
import { conversationOf } from '../../demo/stores/message-store.ts'
import { FakeProducer } from '../helpers/demo.ts'
import { ManualClock } from '../helpers/manual-clock.ts'

function makeHttp () {
  const clock = new ManualClock()
  const producer = new FakeProducer()
  const store = new MemoryMessageStore()
  const users = new UsersStandIn({ producer, clock })
  const auth = new AuthStandIn({ secret: 'a secret of thirty-two bytes or more', accessTokenTtlMs: 60_000, refreshTokenTtlMs: 600_000, announceRevocation: async () => {}, clock })
  const receipts = new Receipts({
    store,
    producer,
    anyGateway: async () => undefined,
    push: () => Promise.reject(new Error('no gateway')),
    isMember: async (groupId, userId) => users.isMember(groupId, userId),
    clock
  })
  const app = buildHttp({ auth, users, receipts, store })
  const call = async (method: 'GET' | 'POST', url: string, token: string, payload?: object) => {
    const reply = await app.inject({ method, url, headers: { authorization: `Bearer ${token}` }, ...(payload === undefined ? {} : { payload }) })
    return { status: reply.statusCode, body: reply.body === '' ? undefined : reply.json<Record<string, unknown>>() }
  }
  const keep = (msgId: string, senderId: string, recipientId: string, isGroup = false) => store.accept({
    conversation: conversationOf(senderId, recipientId, isGroup), isGroup, msgId, senderId, senderDeviceId: 'phone', recipientId, content: 'hi', messageType: 'text', metadata: {}
  }, 5)
  return { auth, users, producer, clock, call, keep }
}

t.test('a token is to be had, refreshed once and revoked', async (t) => {
  const { auth, call, clock } = makeHttp()
  const { status, body } = await call('POST', '/token', '', { user_id: 'alice', device_id: 'phone' })
  t.equal(status, 200)
  const token = String(body?.['access_token'])
  t.match(auth.check(token), { ok: true, claims: { user_id: 'alice', device_id: 'phone' } })
  t.match(await call('POST', '/refresh', '', { refresh_token: body?.['refresh_token'] }), { status: 200, body: { access_token: String } })
  t.match(await call('POST', '/refresh', '', { refresh_token: body?.['refresh_token'] }), { status: 401 })
  t.match(await call('POST', '/token', '', { user_id: 'a\n' }), { status: 400 })
  const short = await call('POST', '/token', '', { user_id: 'alice', expires_in: 7 })
  t.equal(short.body?.['expires_at'], clock.unixMs() + 7_000, 'as few seconds as are asked for')
  t.match(await call('POST', '/token', '', { user_id: 'alice', expires_in: 3_601 }), { status: 400 })
  clock.advance(1)
  t.match(await call('POST', '/revoke', token, {}), { status: 204 })
  t.match(await call('POST', '/revoke', token, {}), { status: 401 })
})

t.test('history is read by those who have a part in the conversation, from a number on', async (t) => {
  const { auth, users, call, keep } = makeHttp()
  const [alice, carol] = [auth.mint('alice').accessToken, auth.mint('carol').accessToken]
  for (let i = 1; i <= 3; i++) await keep(`m${i}`, 'alice', 'bob')
  users.createGroup('group_a', ['alice'])
  await keep('g1', 'alice', 'group_a', true)
  t.match(await call('GET', '/history?conversation=alice:bob&after=1', alice), {
    status: 200,
    body: { messages: [{ msg_id: 'm2', sender: 'alice', recipient: 'bob', content: 'hi', message_type: 'text', timestamp: 5, sequence_number: 2 }, { sequence_number: 3 }] }
  })
  t.match(await call('GET', '/history?conversation=alice:bob&limit=1', alice), { body: { messages: [{ sequence_number: 1 }] } })
  t.match(await call('GET', '/history?conversation=group_a', alice), { body: { messages: [{ msg_id: 'g1' }] } })
  t.match(await call('GET', '/history?conversation=alice:bob', carol), { status: 403 })
  t.match(await call('GET', '/history?conversation=group_a', carol), { status: 403 })
  t.match(await call('GET', '/history?conversation=group_x', carol), { status: 403 })
  t.match(await call('GET', '/history?conversation=alice:bob', 'x'), { status: 401 })
  t.match(await call('GET', '/history?conversation=alice:bob&after=-1', alice), { status: 400 })
  t.match(await call('GET', '/history', alice), { status: 400 })
})

t.test('groups are made, joined and left by the token\'s own user; receipts are sent by readers', async (t) => {
  const { auth, users, producer, call, keep } = makeHttp()
  const [alice, bob] = [auth.mint('alice').accessToken, auth.mint('bob').accessToken]
  t.match(await call('POST', '/groups', alice, { group_id: 'group_a', members: ['carol'] }), { status: 201 })
  t.match(await call('POST', '/groups', bob, { group_id: 'group_a', members: [] }), { status: 409 })
  t.match(await call('POST', '/groups', alice, { group_id: 'a', members: [] }), { status: 400 })
  t.match(await call('POST', '/groups/group_a/join', bob), { status: 204 })
  t.equal(users.isMember('group_a', 'bob'), true)
  t.match(await call('POST', '/groups/group_x/join', bob), { status: 404 })
  await keep('g1', 'alice', 'group_a', true)
  t.match(await call('POST', '/read', bob, { sender_id: 'alice', msg_id: 'g1' }), { status: 204 })
  t.match(await call('POST', '/read', bob, { sender_id: 'alice', msg_id: 'g2' }), { status: 404 })
  t.match(await call('POST', '/groups/group_a/leave', bob), { status: 204 })
  t.match(await call('POST', '/groups/group_x/leave', bob), { status: 404 })
  t.strictSame(producer.records.map(({ topic }) => topic), ['membership_change', 'read_receipt_events', 'membership_change'])
})
