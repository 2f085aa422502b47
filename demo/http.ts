/**
 * The HTTP side of the stand-in services: tokens, history, read receipts, groups. All but `/token` and `/refresh` ask for a
 * bearer token and act for its user. Loopback only: `/token` believes whoever asks.
 */
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { GROUP_PREFIX, ID_PATTERN, PARTY_PATTERN } from '../src/protocol/frames.ts'
import type { AuthStandIn, TokenPair } from './services/auth.ts'
import type { Receipts } from './services/receipts.ts'
import type { UsersStandIn } from './services/users.ts'
import { groupOf, participantsOf, type MessageStore, type StoredMessage } from './stores/message-store.ts'

export interface HttpOptions {
  readonly auth: AuthStandIn
  readonly users: UsersStandIn
  readonly receipts: Receipts
  readonly store: MessageStore
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Whose token came with the request; empty on routes that ask for none. */
    demoUserId: string
  }
}

const MAX_PAGE = 1_000
const MAX_GROUP = 100_000
const User = Type.String({ pattern: PARTY_PATTERN })
const Device = Type.String({ pattern: ID_PATTERN })
/** Seconds. */
const Lifetime = Type.Integer({ minimum: 1, maximum: 3_600 })
const GroupName = Type.String({ pattern: PARTY_PATTERN })
const Group = Type.Object({ group: GroupName })
const History = Type.Object({
  conversation: Type.String({ minLength: 1, maxLength: 1025 }),
  after: Type.Optional(Type.String({ pattern: '^[0-9]{1,18}$' })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PAGE }))
})

/** An instance that is ready to listen. */
export function buildHttp ({ auth, users, receipts, store }: HttpOptions): FastifyInstance {
  const app = Fastify({ forceCloseConnections: true }).withTypeProvider<TypeBoxTypeProvider>()
  app.decorateRequest('demoUserId', '')

  app.post('/token', { schema: { body: Type.Object({ user_id: User, device_id: Type.Optional(Device), expires_in: Type.Optional(Lifetime) }) } }, async (request) => {
    const { user_id: userId, device_id: deviceId, expires_in: seconds } = request.body
    users.addUser(userId)
    return pair(auth.mint(userId, deviceId, seconds === undefined ? undefined : 1_000 * seconds))
  })

  app.post('/refresh', { schema: { body: Type.Object({ refresh_token: Type.String({ minLength: 1, maxLength: 256 }) }) } }, async (request, reply) => {
    const tokens = auth.refresh(request.body.refresh_token)
    if (tokens === undefined) return await reply.code(401).send({ error: 'the refresh token is not valid' })
    return pair(tokens)
  })

  app.register(async (scope) => {
    const own = scope.withTypeProvider<TypeBoxTypeProvider>()
    own.addHook('onRequest', async (request, reply) => {
      const verdict = auth.check(bearerOf(request))
      if (!verdict.ok) return await reply.code(401).send({ error: `the token is not valid: ${verdict.fault}` })
      request.demoUserId = verdict.claims.user_id
    })

    own.post('/revoke', { schema: { body: Type.Object({ device_id: Type.Optional(Device) }) } }, async (request, reply) => {
      await auth.revoke(request.demoUserId, request.body.device_id)
      return await reply.code(204).send()
    })

    own.get('/history', { schema: { querystring: History } }, async (request, reply) => {
      const { conversation, after = '0', limit = 100 } = request.query
      if (!mayRead(users, conversation, request.demoUserId)) return await reply.code(403).send({ error: 'you have no part in this conversation' })
      const messages = await store.history(conversation, BigInt(after), limit)
      return { messages: messages.map(entry) }
    })

    own.post('/read', { schema: { body: Type.Object({ sender_id: User, msg_id: Device }) } }, async (request, reply) => {
      const { sender_id: senderId, msg_id: msgId } = request.body
      const isKnown = await receipts.markRead(request.demoUserId, senderId, msgId)
      return await reply.code(isKnown ? 204 : 404).send()
    })

    own.post('/groups', { schema: { body: Type.Object({ group_id: GroupName, members: Type.Array(User, { maxItems: MAX_GROUP }) }) } }, async (request, reply) => {
      const { group_id: groupId, members } = request.body
      if (!groupId.startsWith(GROUP_PREFIX)) return await reply.code(400).send({ error: `the id of a group starts with ${GROUP_PREFIX}` })
      if (users.hasGroup(groupId)) return await reply.code(409).send({ error: 'there is such a group' })
      users.createGroup(groupId, [request.demoUserId, ...members])
      return await reply.code(201).send()
    })

    own.post('/groups/:group/join', { schema: { params: Group } }, async (request, reply) => {
      if (!users.hasGroup(request.params.group)) return await reply.code(404).send({ error: 'there is no such group' })
      await users.join(request.params.group, request.demoUserId)
      return await reply.code(204).send()
    })

    own.post('/groups/:group/leave', { schema: { params: Group } }, async (request, reply) => {
      if (!users.hasGroup(request.params.group)) return await reply.code(404).send({ error: 'there is no such group' })
      await users.leave(request.params.group, request.demoUserId)
      return await reply.code(204).send()
    })
  })

  return app
}

function bearerOf (request: FastifyRequest): string {
  const { authorization = '' } = request.headers
  return authorization.startsWith('Bearer ') ? authorization.slice(7) : ''
}

function mayRead (users: UsersStandIn, conversation: string, userId: string): boolean {
  const participants = participantsOf(conversation)
  return participants === undefined ? users.isMember(groupOf(conversation), userId) === true : participants.includes(userId)
}

function pair (tokens: TokenPair): object {
  return { access_token: tokens.accessToken, refresh_token: tokens.refreshToken, expires_at: tokens.expiresAtMs }
}

/** As a client knows messages; a number that JSON cannot carry is not rounded but left to the reader as text. */
function entry (message: StoredMessage): object {
  const { sequenceNumber } = message
  return {
    msg_id: message.msgId,
    sender: message.senderId,
    recipient: message.recipientId,
    content: message.content,
    message_type: message.messageType,
    ...(Object.keys(message.metadata).length === 0 ? {} : { metadata: message.metadata }),
    timestamp: message.acceptedAtMs,
    sequence_number: sequenceNumber > BigInt(Number.MAX_SAFE_INTEGER) ? String(sequenceNumber) : Number(sequenceNumber)
  }
}
