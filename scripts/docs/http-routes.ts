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
const Drain = Type.Object({ ...progress, workers: Type.Optional(Type.Array(Type.Object({ worker: Type.String(), ...progress }))) })

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
    queued_bytes: Type.Integer({ minimum: 0, description: 'Written to it and not yet taken by the kernel' }),
    paused: Type.Boolean({ description: 'Its socket is not read now' })
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
        total: 1650, listed: 1, connections: [{ node_id: 'gateway-0', connection_id: 'q3vJ0bXe.1f', user_id: 'ann', device_id: 'phone', state: 'open', opened_at: 1_767_225_600_000, token_expires_at: 1_767_229_200_000, queued_bytes: 0, paused: false }]
      }),
      400: json('A parameter is out of its limits, or there twice', BadQuery, { statusCode: 400, code: 'FST_ERR_VALIDATION', error: 'Bad Request', message: 'querystring/limit must be >= 1' }),
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
