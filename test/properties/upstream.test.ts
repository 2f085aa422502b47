/** Properties of the way upstream and of what an upgrade request may say, each against a model. FC_SEED repeats a run. */
import fc from 'fast-check'
import t from 'tap'
import { checkClaims, peekClaims } from '../../src/auth/claims.ts'
import { Hub } from '../../src/connections/hub.ts'
import type { Connection } from '../../src/connections/connection.ts'
import { ERRORS } from '../../src/errors.ts'
import type { RouteBatch, RouteReply } from '../../src/generated/im/v1/im.ts'
import type { RouteRequest } from '../../src/ports.ts'
import type { SendFrame } from '../../src/protocol/frames.ts'
import { readHandshake } from '../../src/protocol/handshake.ts'
import { originAllowed, originRules } from '../../src/protocol/origin.ts'
import { SendLines } from '../../src/upstream/send-lines.ts'
import { Sender } from '../../src/upstream/sender.ts'
import { RouteBatcher } from '../../src/upstream/stream-batching.ts'
import { connect } from '../helpers/connections.ts'
import { HeldIm } from '../helpers/fake-im.ts'
import { parseFrames } from '../helpers/fake-socket.ts'
import { FakeLogger, FakeMeter } from '../helpers/fakes.ts'
import { ManualClock } from '../helpers/manual-clock.ts'

const seed = process.env.FC_SEED === undefined ? Date.now() % 2 ** 31 : Number(process.env.FC_SEED)
const runs = { seed, numRuns: 300 }
t.comment(`seed ${seed}`)

const turn = () => new Promise((resolve) => setImmediate(resolve))

interface Message { readonly recipient: string, following: Message | null }
type Step =
  | { readonly do: 'submit', readonly from: number, readonly id: number, readonly to: number, readonly text: number }
  | { readonly do: 'settle', readonly which: number, readonly how: 'accept' | 'refuse' | 'break' }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('submit' as const), from: fc.nat(2), id: fc.nat(11), to: fc.nat(2), text: fc.integer({ min: 0, max: 7 }).map((n) => n === 0 ? 1 : 0) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('settle' as const), which: fc.nat(8), how: fc.constantFrom('accept' as const, 'accept' as const, 'refuse' as const, 'break' as const) }) }
)

t.test('every message gets one answer, an ack only if it was accepted; each conversation keeps its order [GW-SND-3] [GW-SND-5]', async (t) => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
    const hub = new Hub()
    const im = new HeldIm()
    const accepted = new Map<string, number>()
    const answers = new Map<Connection, Array<Record<string, unknown>>>()
    const sender = new Sender({
      im,
      policy: { run: (_method, call) => call(1_000) },
      outbox: { send: (connection, frame) => { answers.get(connection)?.push(parseFrames(frame)[0] as Record<string, unknown>) } },
      clock: new ManualClock(),
      meter: new FakeMeter(),
      logger: new FakeLogger(),
      maxPerConnection: 10,
      maxPending: 20,
      queueTimeoutMs: 1_000,
      onSettled: () => {}
    })
    const connections = ['alice', 'alice', 'bob'].map((user, at) => connect(hub, user, `device-${at}`).connection)
    for (const connection of connections) answers.set(connection, [])
    /** msg_ids of each connection and conversation in the order they were submitted. */
    const submitted = new Map<string, string[]>()
    const counts = new Map<Connection, number>()

    const settleOne = async (which: number, how: 'accept' | 'refuse' | 'break') => {
      const call = im.open[which % Math.max(1, im.open.length)]
      if (call === undefined) return
      const { senderId, msgId } = call.request
      if (how === 'refuse') call.fail('SENSITIVE_CONTENT')
      else if (how === 'break') call.fail('DEADLINE_EXCEEDED')
      else {
        accepted.set(`${senderId} ${msgId}`, accepted.size + 1)
        call.accept(accepted.size)
      }
      await turn()
    }
    const check = () => {
      const upstream = im.open.map(({ request }) => `${request.senderDeviceId} ${request.recipientId}`)
      if (new Set(upstream).size < upstream.length) throw new Error('two messages of one conversation upstream')
      for (const connection of connections) {
        for (const frame of answers.get(connection) ?? []) {
          if (frame.type === 'ack' && !accepted.has(`${connection.user.userId} ${String(frame.msg_id)}`)) throw new Error('ack without acceptance')
        }
      }
    }

    for (const command of steps) {
      if (command.do === 'settle') {
        await settleOne(command.which, command.how)
      } else {
        const connection = connections[command.from] as Connection
        const frame: SendFrame = {
          type: 'send_msg', msgId: `m${command.id}`, recipient: `user-${command.to}`, isGroup: false, content: `text-${command.text}`, timestamp: 0, messageType: 'text', metadata: undefined, traceparent: undefined
        }
        counts.set(connection, (counts.get(connection) ?? 0) + 1)
        const key = `${connection.deviceId} ${frame.recipient}`
        submitted.set(key, [...submitted.get(key) ?? [], frame.msgId])
        sender.submit(connection, frame)
      }
      check()
    }
    while (im.open.length > 0) {
      await settleOne(0, 'accept')
      check()
    }
    for (const connection of connections) {
      if (answers.get(connection)?.length !== (counts.get(connection) ?? 0)) throw new Error('a message without an answer, or with two')
      if (connection.sending !== null) throw new Error('an idle connection keeps something')
    }
    if (sender.pending !== 0) throw new Error('something is still pending')
    for (const [key, msgIds] of submitted) {
      const sent = im.requests.filter((request) => `${request.senderDeviceId} ${request.recipientId}` === key).map(({ msgId }) => msgId)
      let from = 0
      for (const msgId of sent) {
        from = msgIds.indexOf(msgId, from) + 1
        if (from === 0) throw new Error(`${key}: ${sent.join()} left in another order than ${msgIds.join()}`)
      }
    }
  }), runs)
  t.pass()
})

t.test('the lines of a connection are what a map of queues would be', async (t) => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(20), fc.nat(3)), { maxLength: 80 }), (steps) => {
    const lines = new SendLines<Message>()
    const model = new Map<string, Message[]>()
    const all: Message[] = []
    for (const [isAdd, which, to] of steps) {
      if (isAdd || all.length === 0) {
        const message: Message = { recipient: `r${to}`, following: null }
        const queue = model.get(message.recipient) ?? []
        model.set(message.recipient, queue)
        queue.push(message)
        all.push(message)
        if (lines.add(message) !== (queue.length === 1)) return false
      } else {
        const [message] = all.splice(which % all.length, 1) as [Message]
        const queue = model.get(message.recipient) ?? []
        const place = queue.indexOf(message)
        queue.splice(place, 1)
        if (lines.remove(message) !== (place === 0 ? queue[0] : undefined)) return false
      }
      if (lines.size !== all.length) return false
    }
    return true
  }), runs)
  t.pass()
})

t.test('a stream settles each message once, with its own reply, whatever order, back-pressure and breaks come', async (t) => {
  const action = fc.oneof(
    { weight: 4, arbitrary: fc.constant('route' as const) }, fc.constant('reply' as const), fc.constant('block' as const), fc.constant('drain' as const), fc.constant('tick' as const), fc.constant('turn' as const)
  )
  await fc.assert(fc.asyncProperty(fc.array(fc.tuple(action, fc.nat(50)), { maxLength: 60 }), fc.boolean(), async (steps, breaks) => {
    const clock = new ManualClock()
    let isOpen = true
    const atServer: Array<{ correlation: number, msgId: string }> = []
    const seen = new Set<string>()
    const write = (batch: RouteBatch) => {
      if (batch.items.length === 0 || batch.items.length > 4) throw new Error(`a batch of ${batch.items.length}`)
      for (const { correlation, message } of batch.items) {
        const msgId = message?.value.msgId ?? ''
        if (seen.has(msgId)) throw new Error(`${msgId} was written twice`)
        seen.add(msgId)
        atServer.push({ correlation, msgId })
      }
      return isOpen
    }
    const batcher = new RouteBatcher({ clock, write, maxBatchItems: 4, maxOutstanding: 15 })
    const settlements: number[] = []
    const done: Array<Promise<void>> = []
    const request: RouteRequest = { kind: 'private', msgId: '', senderId: 'a', senderDeviceId: 'd', recipientId: 'b', content: '', messageType: 'text', metadata: undefined, clientTimestampMs: 0, traceparent: undefined }
    for (const [what, n] of steps) {
      if (what === 'route') {
        const at = settlements.push(0) - 1
        done.push(batcher.route({ ...request, msgId: String(at) }, 100 + n * 10).then(
          (accepted) => {
            if (accepted.sequenceNumber !== at) throw new Error(`${at} was given the reply of ${accepted.sequenceNumber}`)
            settlements[at] = (settlements[at] ?? 0) + 1
          },
          () => { settlements[at] = (settlements[at] ?? 0) + 1 }
        ))
      } else if (what === 'reply') {
        const [item] = atServer.splice(n % Math.max(1, atServer.length), 1)
        if (item !== undefined) batcher.receive({ items: [replyTo(item), replyTo(item)] })
      } else if (what === 'block') {
        isOpen = false
      } else if (what === 'drain') {
        isOpen = true
        batcher.drained()
      } else if (what === 'tick') {
        clock.advance(n * 5)
      }
      if (what === 'turn') await turn()
    }
    if (breaks) batcher.fail(new Error('broken'))
    else clock.advance(2_000)
    await Promise.all(done)
    if (settlements.some((times) => times !== 1) || batcher.outstanding !== 0) throw new Error('not settled exactly once')
  }), runs)
  t.pass()
})

function replyTo ({ correlation, msgId }: { correlation: number, msgId: string }): RouteReply {
  return { correlation, reply: { $case: 'private', value: { sequenceNumber: BigInt(msgId), serverTimestamp: undefined, deliveryStatus: 1, errorCode: 0, errorMessage: '' } } }
}

t.test('reading an upgrade request never throws; what passes has one token of bounded size', async (t) => {
  const name = fc.constantFrom('Authorization', 'authorization', 'Sec-WebSocket-Protocol', 'Origin', 'origin', 'Host')
  const value = fc.oneof(fc.string(), fc.constantFrom('Bearer a.b.c', 'bearer x', 'im.v1.json, bearer.a.b.c', 'bearer.a', 'im.v1.json', 'https://a.example', 'null'), fc.string({ minLength: 4_090, maxLength: 4_100 }).map((text) => `Bearer ${text}`))
  const query = fc.oneof(fc.string(), fc.array(fc.constantFrom('token=a', 'token=', 'device_id=d', 'device_id=%00', 'x=1', '%zz', 'token=%ff'), { maxLength: 4 }).map((parts) => parts.join('&')))
  fc.assert(fc.property(fc.array(fc.tuple(name, value), { maxLength: 5 }), query, fc.boolean(), (headers, search, allowQueryToken) => {
    const reading = readHandshake(headers.flat(), `/ws?${search}`, { allowQueryToken })
    const names = headers.map(([header]) => header.toLowerCase()).filter((header) => header !== 'host')
    if (new Set(names).size < names.length) return !reading.ok && reading.code === 'INVALID_MESSAGE'
    if (!reading.ok) return reading.code in ERRORS
    const { token } = reading.handshake
    const spoken = headers.map(([, text]) => text).join('\n') + (allowQueryToken ? decodeURIComponent(new URLSearchParams(search).toString().replaceAll('+', '%20')) : '')
    return token.length > 0 && token.length <= 4_096 && spoken.includes(token)
  }), { ...runs, numRuns: 2_000 })
  t.pass()
})

t.test('an origin passes exactly if its scheme, host and port are listed, or its host lies below a wildcard [GW-CON-4]', async (t) => {
  const label = fc.constantFrom('a', 'b', 'evil', 'example', 'com', 'org')
  const host = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'))
  const scheme = fc.constantFrom('https', 'http')
  const port = fc.constantFrom('', ':8443', ':443', ':80')
  const origin = fc.tuple(scheme, host, port).map(([s, h, p]) => `${s}://${h}${p}`)
  const entry = fc.tuple(scheme, fc.boolean(), host, port).map(([s, wild, h, p]) => `${s}://${wild ? '*.' : ''}${h}${p}`)
  fc.assert(fc.property(fc.array(entry, { minLength: 1, maxLength: 4 }), origin, (list, given) => {
    const page = new URL(given)
    const expected = list.some((text) => {
      const rule = new URL(text.replace('*.', 'wildcard.'))
      if (rule.protocol !== page.protocol || rule.port !== page.port) return false
      return text.includes('*') ? page.hostname.endsWith(rule.hostname.replace('wildcard', '')) && page.hostname.length > rule.hostname.length - 8 : page.hostname === rule.hostname
    })
    return originAllowed(originRules(list, false), given, 'gateway.example') === expected
  }), { ...runs, numRuns: 2_000 })
  fc.assert(fc.property(fc.string(), fc.string(), (given, asked) => typeof originAllowed(originRules([], false), given, asked) === 'boolean'), runs)
  t.pass()
})

t.test('no payload and no token makes reading the claims throw; what passes is well-formed', async (t) => {
  const field = fc.oneof(fc.constantFrom('alice', 'phone', 1_800_000_000, 1), fc.jsonValue())
  const payload = fc.oneof(fc.record({ sub: field, user_id: field, device_id: field, exp: field, iat: field, nbf: field, iss: field, aud: field }, { requiredKeys: [] }), fc.jsonValue())
  fc.assert(fc.property(payload, (claims) => {
    const result = checkClaims(claims, { clockToleranceMs: 0 }, 1_700_000_000_000)
    const token = `x.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.y`
    const peeked = peekClaims(token)
    if (!result.ok) return true
    return result.claims.expiresAtMs > 1_700_000_000_000 && result.claims.userId.length > 0 && peeked.userId === result.claims.userId && peeked.expiresAtMs === result.claims.expiresAtMs
  }), { ...runs, numRuns: 2_000 })
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (token) => typeof peekClaims(token) === 'object'), runs)
  t.pass()
})
