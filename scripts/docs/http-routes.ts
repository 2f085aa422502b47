/** What the HTTP routes answer. test/scripts/docs asks a node and compares; the routes themselves are those of routes/. */
import Type, { type TSchema } from 'typebox'
import { errorBody } from '../../src/errors.ts'
import { REFUSALS } from './codes.ts'

export interface RouteDoc {
  readonly summary: string
  readonly description?: string
  readonly tags: readonly ['public'] | readonly ['admin']
  readonly response: Readonly<Record<number, object>>
  readonly security?: ReadonlyArray<Readonly<Record<string, readonly string[]>>>
  readonly querystring?: object
  readonly headers?: object
}

const Count = Type.Integer({ minimum: 0 })
const Time = Type.String({ format: 'date-time' })
const UnixMs = Type.Integer({ minimum: 0, description: 'Unix milliseconds' })
const Phase = Type.Enum(['starting', 'serving', 'draining'])

const AdminError = Type.Object({ error: Type.String() })
const BadQuery = Type.Object({ statusCode: Type.Literal(400), code: Type.String(), error: Type.String(), message: Type.String() })

const Health = Type.Object({
  ready: Type.Boolean(),
  phase: Phase,
  reason: Type.Optional(Type.String({ description: 'Why it is not ready' })),
  since: Time,
  dependencies: Type.Record(Type.String(), Type.Object({ state: Type.Enum(['up', 'down', 'unknown']), since: Time, detail: Type.Optional(Type.String()) })),
  workers: Type.Optional(Type.Array(Type.Object({ worker: Type.String(), ready: Type.Boolean(), phase: Type.Enum(['starting', 'serving', 'draining', 'unresponsive']), reason: Type.Optional(Type.String()) }), { description: 'Of several processes behind one port' }))
})

const progress = {
  phase: Type.Enum(['off', 'delay', 'closing', 'held']),
  total: Count,
  closed: Count,
  remaining: Count,
  closesPerSecond: Type.Optional(Count),
  offeredPerSecond: Type.Optional(Type.Integer({ minimum: 0, description: 'What the other nodes can take' })),
  startedAt: Type.Optional(UnixMs),
  deadlineAt: Type.Optional(UnixMs)
}
const Drain = Type.Object({
  ...progress,
  workers: Type.Optional(Type.Array(Type.Object({ worker: Type.String(), ...progress }), { description: 'Of several processes behind one port, those that answered' })),
  unanswered: Type.Optional(Type.Array(Type.String(), { description: 'Workers that did not answer: they count for nothing here' }))
})

const Connections = Type.Object({
  total: Type.Integer({ minimum: 0, description: 'Open connections, whatever was asked for' }),
  listed: Count,
  connections: Type.Array(Type.Object({
    node_id: Type.String(),
    connection_id: Type.String(),
    user_id: Type.String(),
    device_id: Type.String(),
    state: Type.Enum(['opening', 'open', 'closing', 'closed']),
    opened_at: UnixMs,
    token_expires_at: UnixMs,
    idle_ms: Type.Integer({ minimum: 0, description: 'Since its last sign of life, a pong too' }),
    queued_bytes: Type.Integer({ minimum: 0, description: 'Written to it and not yet taken by the kernel' }),
    paused: Type.Boolean({ description: 'Its socket is not read now' })
  })),
  unanswered: Type.Optional(Type.Array(Type.String(), { description: 'Workers that did not answer: their connections are missing' }))
})

const Explanation = Type.Object({
  events: Type.Array(Type.Object({
    at: UnixMs,
    node_id: Type.String(),
    step: Type.String({ description: 'A value of ExplainStep in grpc.md, in lower case and without its prefix' }),
    msg_id: Type.String(),
    user_id: Type.String(),
    device_id: Type.String(),
    detail: Type.String()
  }), { description: 'In order of time, as the clocks of the nodes have it' }),
  nodes: Type.Array(Type.Object({
    node_id: Type.String(),
    oldest_at: Type.Union([UnixMs, Type.Null()], { description: 'The oldest that this node remembers; null: nothing' }),
    left_off: Type.Integer({ minimum: 0, description: 'Older entries that match and are not told' }),
    error: Type.Optional(Type.String({ description: 'It did not answer' }))
  }))
})

const ADMIN = { tags: ['admin'], security: [{ admin: [] }] } as const
const FORBIDDEN = { 401: json('The token is missing or wrong', AdminError, { error: 'the admin token is required' }), 403: json('Without ADMIN_TOKEN: not from this machine, or from a page in a browser', AdminError, { error: 'not from a browser' }) }
const SINCE = '2026-01-01T00:00:00.000Z'
const ready = { ready: true, phase: 'serving', since: SINCE, dependencies: { etcd: { state: 'up', since: SINCE }, redis: { state: 'down', since: SINCE, detail: 'no connection' } } }
const drained = { phase: 'closing', total: 2000, closed: 350, remaining: 1650, closesPerSecond: 100, startedAt: 1_767_225_600_000, deadlineAt: 1_767_225_630_000 }

/** By method and path. */
export const HTTP_ROUTES: Readonly<Record<string, RouteDoc>> = {
  'GET /ws': {
    summary: 'Opens a WebSocket',
    description: 'The protocol behind it is in asyncapi.yaml. Token and device: protocol.md; the refusals in the order of the checks: codes.md.',
    tags: ['public'],
    security: [{ token: [] }, {}],
    querystring: Type.Object({ device_id: Type.Optional(Type.String({ description: 'Only where the token names no device' })), token: Type.Optional(Type.String({ description: 'Only with ALLOW_QUERY_TOKEN' })) }),
    headers: Type.Object({ 'sec-websocket-protocol': Type.Optional(Type.String({ description: 'im.v1.json, and bearer.<token> where no Authorization header can be set' })) }),
    response: { 101: { type: 'null', description: 'The socket is open; welcome is its first frame' }, ...refusals() }
  },
  'GET /healthz': { summary: 'The process lives', tags: ['public'], response: { 200: json('It does', Type.Object({ status: Type.Literal('ok') }), { status: 'ok' }) } },
  'GET /readyz': {
    summary: 'Whether the node should get traffic, with a line for each dependency',
    tags: ['public'],
    response: { 200: json('It should', Health, ready), 503: json('It should not: starting, draining, overloaded, or waiting for Kafka', Health, { ...ready, ready: false, phase: 'draining', reason: 'draining' }) }
  },
  'GET /metrics': {
    summary: 'All metrics in the Prometheus text format',
    description: 'The metrics are in metrics.md.',
    tags: ['public'],
    response: { 200: { description: 'The metrics', content: { 'text/plain; version=0.0.4; charset=utf-8': { schema: { type: 'string' } } } } }
  },
  'GET /drain': { summary: 'How far a drain is', ...ADMIN, response: { 200: json('Where it stands', Drain, drained), ...FORBIDDEN } },
  'POST /drain': {
    summary: 'Empties the node: readiness fails, upgrades are refused, clients are told and closed one after the other',
    description: 'The process stays. Where a drain is under way this joins it.',
    ...ADMIN,
    response: { 202: json('Started', Drain, { ...drained, phase: 'delay', closed: 0, remaining: 2000, closesPerSecond: 0 }), ...FORBIDDEN }
  },
  'DELETE /drain': { summary: 'Takes clients again', ...ADMIN, response: { 200: json('Called off', Drain, { phase: 'off', total: 0, closed: 0, remaining: 1650 }), 409: json('The process is ending: there is no way back', Drain, drained), ...FORBIDDEN } },
  'GET /connections': {
    summary: 'Who is connected, without what is said',
    ...ADMIN,
    response: {
      200: json('The first that match', Connections, {
        total: 1650, listed: 1, connections: [{ node_id: 'gateway-0', connection_id: 'q3vJ0bXe.1f', user_id: 'ann', device_id: 'phone', state: 'open', opened_at: 1_767_225_600_000, token_expires_at: 1_767_229_200_000, idle_ms: 12_000, queued_bytes: 0, paused: false }]
      }),
      400: json('A parameter is out of its limits, or there twice', BadQuery, { statusCode: 400, code: 'FST_ERR_VALIDATION', error: 'Bad Request', message: 'querystring/limit must be >= 1' }),
      ...FORBIDDEN
    }
  },
  'DELETE /connections': {
    summary: 'Ends the sockets of a user, or of one device, on all nodes',
    description: 'They are closed with 4403. It revokes no token: whoever has one may connect again.',
    ...ADMIN,
    response: {
      200: json('They are closed', Type.Object({ disconnected: Count }), { disconnected: 2 }),
      400: json('A parameter is missing or out of its limits', BadQuery, { statusCode: 400, code: 'FST_ERR_VALIDATION', error: 'Bad Request', message: 'querystring must have required property \'user\'' }),
      503: json('A node did not answer; those that could be reached have closed theirs, and the call may be repeated', AdminError, { error: 'a node of the user does not answer' }),
      ...FORBIDDEN
    }
  },
  'GET /explain': {
    summary: 'The way of a message, or of a user\'s messages, over all nodes, and where it ended',
    description: 'What the nodes remember of the latest messages; EXPLAIN_ENTRIES and EXPLAIN_BYTES say how many those are. One of msg_id and user. Ids, codes and counts, never content.',
    ...ADMIN,
    response: {
      200: json('What is remembered', Explanation, {
        events: [
          { at: 1_767_225_600_000, node_id: 'gateway-0', step: 'push_received', msg_id: 's1-1', user_id: 'bob', device_id: '', detail: 'from ann' },
          { at: 1_767_225_600_012, node_id: 'gateway-0', step: 'push_answered', msg_id: 's1-1', user_id: 'bob', device_id: '', detail: 'no device is connected' }
        ],
        nodes: [{ node_id: 'gateway-0', oldest_at: 1_767_225_000_000, left_off: 0 }]
      }),
      400: json('A parameter is out of its limits, or neither or both of the ids are there', BadQuery, { statusCode: 400, code: 'ONE_ID', error: 'Bad Request', message: 'querystring must have msg_id or user, and not both' }),
      ...FORBIDDEN
    }
  }
}

function json (description: string, schema: TSchema, example: object): object {
  return { description, content: { 'application/json': { schema, example } } }
}

/** One answer for each status, from the table of refusals. */
function refusals (): Record<number, object> {
  const answers: Record<number, object> = {}
  for (const { status } of REFUSALS) {
    const same = REFUSALS.filter((refusal) => refusal.status === status)
    const codes = [...new Set(same.flatMap(({ code }) => code ?? []))]
    const [first] = codes
    const body = Type.Object({ error_code: Type.Enum(codes), error_message: Type.String() })
    if (first !== undefined) answers[status] = json(codes.join(', '), body, errorBody(first))
  }
  return answers
}
