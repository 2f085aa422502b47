import { Client, credentials } from '@grpc/grpc-js'
import t from 'tap'
import { RegistryView } from '../../demo/services/registry-view.ts'
import { Directory } from '../../demo/services/directory.ts'
import { AuthStandIn } from '../../demo/services/auth.ts'
import { Lines, LineFullError } from '../../demo/services/lines.ts'
import { signToken } from '../../demo/services/tokens.ts'
import { UsersStandIn } from '../../demo/services/users.ts'
import { methodDefinition, type GenericMethod, type RequestOf, type ResponseOf } from '../../plugins/lib/grpc-service.ts'
import { MemoryKv } from '../../src/embedded/memory-kv.ts'
import { AuthErrorCode, AuthServiceDefinition } from '../../src/generated/auth/v1/auth.ts'
import { UserErrorCode, UserServiceDefinition } from '../../src/generated/user/v1/user.ts'
import { FakeLogger } from '../helpers/fakes.ts'
import { ManualClock, settle } from '../helpers/manual-clock.ts'
import { FakeProducer, makeGate } from '../helpers/demo.ts'

const SECRET = 'a secret of thirty-two bytes or more'

/** One unary call on a channel of its own. */
async function call<M extends GenericMethod> (address: string, service: string, method: M, request: RequestOf<M>): Promise<ResponseOf<M>> {
  const client = new Client(address, credentials.createInsecure())
  const { path, requestSerialize, responseDeserialize } = methodDefinition(service, method)
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, { deadline: Date.now() + 2_000 }, (error, response) => {
        if (error !== null) reject(error)
        else resolve(response as ResponseOf<M>)
      })
    })
  } finally {
    client.close()
  }
}

function makeAuth (clock = new ManualClock()) {
  const revocations: unknown[] = []
  const auth = new AuthStandIn({
    secret: SECRET,
    accessTokenTtlMs: 60_000,
    refreshTokenTtlMs: 600_000,
    announceRevocation: async (...facts) => { revocations.push(facts) },
    clock
  })
  return { auth, clock, revocations }
}

t.test('Auth Service over gRPC: a good token names its user and device, every bad one has its code', async (t) => {
  const { auth, clock } = makeAuth()
  const host = await auth.listen()
  t.teardown(() => host.close())
  const validate = (accessToken: string) => call(host.address, AuthServiceDefinition.fullName, AuthServiceDefinition.methods.validateToken, { accessToken })

  const { accessToken, expiresAtMs } = auth.mint('alice', 'phone')
  const good = await validate(accessToken)
  t.match(good, { valid: true, userId: 'alice', deviceId: 'phone', errorCode: AuthErrorCode.AUTH_ERROR_CODE_UNSPECIFIED })
  t.equal(good.expiresAt?.getTime(), expiresAtMs)
  t.match(await validate(auth.mint('alice').accessToken), { valid: true, deviceId: '' })

  const [header, payload] = accessToken.split('.')
  const now = clock.unixMs() / 1000
  const cases: Array<readonly [string, AuthErrorCode]> = [
    ['', AuthErrorCode.AUTH_ERROR_CODE_MALFORMED_TOKEN],
    ['a.b', AuthErrorCode.AUTH_ERROR_CODE_MALFORMED_TOKEN],
    [`${header}.${payload}.`, AuthErrorCode.AUTH_ERROR_CODE_INVALID_SIGNATURE],
    [`${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`, AuthErrorCode.AUTH_ERROR_CODE_INVALID_SIGNATURE],
    [signToken({ user_id: 'alice', iat: now, exp: now + 60, jti: '1' }, `${SECRET}!`), AuthErrorCode.AUTH_ERROR_CODE_INVALID_SIGNATURE],
    [signToken({ user_id: '', iat: now, exp: now + 60, jti: '1' }, SECRET), AuthErrorCode.AUTH_ERROR_CODE_MISSING_CLAIMS],
    [signToken({ user_id: 'alice', iat: now - 60, exp: now, jti: '1' }, SECRET), AuthErrorCode.AUTH_ERROR_CODE_TOKEN_EXPIRED]
  ]
  for (const [token, code] of cases) t.match(await validate(token), { valid: false, userId: '', errorCode: code })
})

t.test('a refresh token works once, not past its life and not past a revocation', async (t) => {
  const { auth, clock } = makeAuth()
  const first = auth.mint('alice', 'phone')
  const second = auth.refresh(first.refreshToken)
  t.match(auth.check(second?.accessToken ?? ''), { ok: true, claims: { user_id: 'alice', device_id: 'phone' } })
  t.equal(auth.refresh(first.refreshToken), undefined)
  clock.advance(600_000)
  t.equal(auth.refresh(second?.refreshToken ?? ''), undefined)
  const third = auth.mint('alice', 'phone')
  clock.advance(1)
  await auth.revoke('alice', 'phone')
  t.equal(auth.refresh(third.refreshToken), undefined)
})

t.test('a revocation voids what was issued before it, in the same millisecond as well, of the device or of all, and is announced', async (t) => {
  const { auth, clock, revocations } = makeAuth()
  const phone = auth.mint('alice', 'phone').accessToken
  const laptop = auth.mint('alice', 'laptop').accessToken
  await auth.revoke('alice', 'phone')
  t.match(auth.check(phone), { ok: false, fault: 'revoked' })
  t.match(auth.check(laptop), { ok: true })
  t.match(auth.validate(phone), { valid: false, errorCode: AuthErrorCode.AUTH_ERROR_CODE_INVALID_TOKEN })
  t.match(auth.check(auth.mint('alice', 'phone').accessToken), { ok: true }, 'one issued after it is valid, in the same millisecond as well')
  clock.advance(1)
  await auth.revoke('alice')
  t.match(auth.check(laptop), { ok: false, fault: 'revoked' })
  t.strictSame(revocations, [['alice', 'phone', clock.unixMs()], ['alice', undefined, clock.unixMs() + 1]])
})

t.test('User Service over gRPC: members come in pages, a cursor survives the leave of its user', async (t) => {
  const producer = new FakeProducer()
  const users = new UsersStandIn({ producer, clock: new ManualClock() })
  const host = await users.listen()
  t.teardown(() => host.close())
  const { fullName, methods } = UserServiceDefinition
  const page = (cursor: string, limit = 1_000) => call(host.address, fullName, methods.getGroupMembers, { groupId: 'group_big', cursor, limit })
  users.createGroup('group_big', Array.from({ length: 1_500 }, (_, i) => `u${i}`))

  const first = await page('')
  t.match(first, { totalCount: 1_500, hasMore: true })
  t.equal(first.members.length, 1_000)
  await users.leave('group_big', first.nextCursor)
  const second = await page(first.nextCursor)
  t.match(second, { totalCount: 1_499, hasMore: false, nextCursor: '' })
  t.equal(new Set([...first.members, ...second.members].map(({ userId }) => userId)).size, 1_500)

  t.match(await page('', 1_001), { errorCode: UserErrorCode.USER_ERROR_CODE_INVALID_REQUEST })
  t.match(await page('', 0), { errorCode: UserErrorCode.USER_ERROR_CODE_INVALID_REQUEST })
  t.match(await call(host.address, fullName, methods.getGroupMembers, { groupId: 'group_x', cursor: '', limit: 1 }), { errorCode: UserErrorCode.USER_ERROR_CODE_GROUP_NOT_FOUND })

  const isMember = (groupId: string, userId: string) => call(host.address, fullName, methods.validateGroupMembership, { groupId, userId })
  t.match(await isMember('group_big', 'u7'), { isMember: true, member: { userId: 'u7', groupId: 'group_big' } })
  t.match(await isMember('group_big', 'nobody'), { isMember: false, errorCode: UserErrorCode.USER_ERROR_CODE_UNSPECIFIED })
  t.match(await isMember('group_x', 'u7'), { isMember: false, errorCode: UserErrorCode.USER_ERROR_CODE_GROUP_NOT_FOUND })
})

t.test('joins and leaves are announced once each, in their order, and only where something changed', async (t) => {
  const producer = new FakeProducer()
  const clock = new ManualClock()
  const users = new UsersStandIn({ producer, clock })
  users.createGroup('group_a', ['alice'])
  t.strictSame(await Promise.all([
    users.join('group_a', 'bob'), users.join('group_a', 'bob'), users.leave('group_a', 'bob'), users.leave('group_a', 'bob'), users.join('group_a', 'bob')
  ]), [true, false, true, false, true])
  t.strictSame(producer.records.map(({ topic, key, value }) => [topic, key, value]), ['join', 'leave', 'join'].map((event) =>
    ['membership_change', 'group_a', { group_id: 'group_a', user_id: 'bob', event_type: event, timestamp: clock.unixMs() }]))
  t.equal(users.isMember('group_a', 'bob'), true)
  t.equal(users.isUser('bob'), true)
  await t.rejects(users.join('group_x', 'bob'))
})

for (const isWatching of [false, true]) {
  t.test(`the directory tells where users are ${isWatching ? 'by its watch' : 'by reading'}, and writes revocations as the gateways expect them`, async (t) => {
    const clock = new ManualClock()
    const kv = new MemoryKv({ clock })
    const view = new RegistryView({ kv, clock, logger: new FakeLogger() })
    const directory = new Directory(kv, view)
    if (isWatching) view.start()
    t.teardown(() => { view.stop() })
    await settle()
    t.equal(view.isLive, isWatching)
    const leaseId = await kv.grantLease(90)
    const put = async (key: string, value: object): Promise<void> => {
      await kv.batch([{ when: [], then: { put: key, value: JSON.stringify(value), leaseId } }])
      await settle()
    }

    t.equal(await directory.locate('a/b'), undefined)
    t.equal(await directory.anyGateway(), undefined)
    await put('/registry/users/a%2Fb/phone', { node: 'n1', conn: 'c1', at: 1 })
    await put('/registry/users/a%2Fb/pad', { node: 'n2', conn: 'c2', at: 1 })
    await put('/registry/users/a%2Fb/tv', { node: 'n2', conn: 'c3', at: 1 })
    await t.rejects(directory.locate('a/b'), 'devices on nodes that are gone: their address is not known yet')
    await put('/registry/nodes/n1', { grpc: '127.0.0.1:1' })
    t.match(await directory.locate('a/b'), { gateway: '127.0.0.1:1' }, 'n2 is gone')
    await put('/registry/nodes/n2', { grpc: '127.0.0.1:2' })
    t.strictSame(await directory.locate('a/b'), { gateway: '127.0.0.1:2', deviceIds: ['pad', 'phone', 'tv'] }, 'the node with most devices')
    t.match(await directory.anyGateway(), /^127\.0\.0\.1:[12]$/)

    await directory.announceRevocation('a/b', 'phone', 17, 60_000)
    await directory.announceRevocation('a/b', undefined, 18, 60_000)
    const { entries } = await kv.range('/registry/revoked/', { prefix: true })
    t.strictSame(entries.map(({ key, value }) => [key, JSON.parse(value)]), [
      ['/registry/revoked/a%2Fb/*', { before: 18, at: 18 }],
      ['/registry/revoked/a%2Fb/phone', { before: 17, at: 17 }]
    ])
    kv.cut()
    await t.rejects(directory.locate('a/b'))
    await t.rejects(directory.announceRevocation('a/b', undefined, 18, 60_000))
  })
}

t.test('a line runs the tasks of a key one by one, goes on after a failure and has a limit', async (t) => {
  const lines = new Lines()
  const log: string[] = []
  const gate = makeGate()
  const tasks = [
    lines.run('a', async () => { await gate.opened; log.push('a1'); throw new Error('a1') }),
    lines.run('a', async () => { log.push('a2') }),
    lines.run('b', async () => { log.push('b1') })
  ]
  await tasks[2]
  t.strictSame(log, ['b1'])
  gate.open()
  t.strictSame((await Promise.allSettled(tasks)).map(({ status }) => status), ['rejected', 'fulfilled', 'fulfilled'])
  t.strictSame(log, ['b1', 'a1', 'a2'])

  const gateOfMany = makeGate()
  const many = Array.from({ length: 1_000 }, () => lines.run('c', () => gateOfMany.opened))
  await t.rejects(lines.run('c', async () => {}), LineFullError)
  gateOfMany.open()
  await Promise.all(many)
  await lines.idle()
  await lines.run('c', async () => {})
})
