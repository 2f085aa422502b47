/** `im-gateway connections` and `im-gateway disconnect`: who is here, and the end of a user's sockets. */
import Type, { type Static } from 'typebox'
import type { Environment } from '../../src/config/parse.ts'
import { parseDuration, parseSize } from '../../src/config/units.ts'
import { ADMIN_OPTION, ADMIN_USAGE, adminPorts, askAll, unansweredWorkers } from '../admin-port.ts'
import { json, runCommand, silentText, table, time } from '../command-line.ts'
import type { Io } from '../dispatch.ts'
import { EXIT_NO, EXIT_OK, EXIT_UNAVAILABLE } from '../exit-codes.ts'

const CONNECTIONS_USAGE = `Usage: im-gateway connections [OPTION...]

Lists who is connected to the nodes that are asked, all workers of each.

  --user USER    of this user alone
  --device ID    with this device alone
  --node ID      of this node, with all its workers, or of this worker, alone
  --state STATE  opening: not registered yet; open
  --paused       not read, because they send faster than their messages are taken
  --queued SIZE  slow readers: at least so much waits for them, 64KB for instance
  --older TIME   open for at least so long, 1h for instance
  --younger TIME open for so long at most
  --idle TIME    no sign of life for at least so long, no pong either
  --limit N      at most so many of each node, 1 to 1000; default 100
${ADMIN_USAGE}`

const DISCONNECT_USAGE = `Usage: im-gateway disconnect [OPTION...] USER

Ends the user's sockets on all nodes with 4403. It revokes no token: whoever has one may connect again.

  --device ID   of this device alone
  --reason TEXT for the log of the nodes
${ADMIN_USAGE}`

const Listed = Type.Object({
  node_id: Type.String(),
  connection_id: Type.String(),
  user_id: Type.String(),
  device_id: Type.String(),
  state: Type.String(),
  // Some versions give no times.
  opened_at: Type.Optional(Type.Number()),
  idle_ms: Type.Optional(Type.Number()),
  queued_bytes: Type.Number(),
  paused: Type.Boolean()
})
const List = Type.Object({ total: Type.Number(), connections: Type.Array(Listed), unanswered: Type.Optional(Type.Array(Type.String())) })
const Disconnected = Type.Object({ disconnected: Type.Number() })

const FILTERS = {
  user: { type: 'string' },
  device: { type: 'string' },
  node: { type: 'string' },
  state: { type: 'string' },
  paused: { type: 'boolean' },
  queued: { type: 'string' },
  older: { type: 'string' },
  younger: { type: 'string' },
  idle: { type: 'string' },
  limit: { type: 'string' }
} as const

/** Resolves to the exit code: 1 where nobody fits, 69 where a node or a worker did not answer. */
export async function connectionsCommand (args: readonly string[], io: Io, env: Environment = process.env): Promise<number> {
  return await runCommand({
    usage: CONNECTIONS_USAGE,
    options: { ...ADMIN_OPTION, ...FILTERS },
    words: [0, 0],
    run: async ({ admin, json: asJson, user, device, node, state, paused, queued, older, younger, idle, limit }) => {
      const sizes = { min_queued_bytes: read('--queued', queued, parseSize) }
      const times = { min_age_ms: read('--older', older, parseDuration), max_age_ms: read('--younger', younger, parseDuration), min_idle_ms: read('--idle', idle, parseDuration) }
      const query = { user, device, node, state, paused: paused === true ? 'true' : undefined, ...sizes, ...times, limit }
      const { answers, unanswered } = await askAll(adminPorts(admin, env), async (port) => ({ admin: port.url, ...(await port.ask('GET', '/connections', { answer: List, query })).body }))
      const connections = answers.flatMap((list) => list.connections)
      const total = answers.reduce((sum, list) => sum + list.total, 0)
      const silent = [...unanswered, ...answers.flatMap(({ admin, unanswered: workers }) => unansweredWorkers(admin, workers))]
      io.out(asJson === true ? json({ total, listed: connections.length, connections, unanswered: silent }) : `${connections.length === 0 ? '' : table([HEAD, ...connections.map(lineOf)])}${connections.length} listed of ${total} that are connected\n${silentText(silent)}`)
      return silent.length > 0 ? EXIT_UNAVAILABLE : connections.length > 0 ? EXIT_OK : EXIT_NO
    }
  }, args, io)
}

/** As the admin port takes it. Throws a RangeError where it is none. */
function read (option: string, text: string | undefined, parse: (text: string) => number | undefined): string | undefined {
  if (text === undefined) return undefined
  const value = parse(text)
  if (value === undefined) throw new RangeError(`${option} ${text}: it is ${parse === parseSize ? 'a size like 4096 or 64KB' : 'a time like 500ms, 30s or 1h'}`)
  return String(value)
}

const HEAD = ['NODE', 'CONNECTION', 'USER', 'DEVICE', 'STATE', 'SINCE', 'IDLE', 'QUEUED BYTES']

function lineOf (each: Static<typeof Listed>): string[] {
  return [each.node_id, each.connection_id, each.user_id, each.device_id, each.paused ? `${each.state}, not read` : each.state, time(each.opened_at), each.idle_ms === undefined ? '' : `${Math.floor(each.idle_ms / 1000)}s`, String(each.queued_bytes)]
}

/** Resolves to the exit code: 1 where nobody was connected. */
export async function disconnectCommand (args: readonly string[], io: Io, env: Environment = process.env): Promise<number> {
  return await runCommand({
    usage: DISCONNECT_USAGE,
    options: { ...ADMIN_OPTION, device: { type: 'string' }, reason: { type: 'string' } },
    words: [1, 1],
    run: async ({ admin, json: asJson, device, reason }, [user]) => {
      let disconnected = 0
      // Each closes those of all nodes, and what is closed is counted once.
      const { unanswered } = await askAll(adminPorts(admin, env), async (port) => {
        disconnected += (await port.ask('DELETE', '/connections', { answer: Disconnected, query: { user, device, reason } })).body.disconnected
      }, { inTurn: true }).catch((error: unknown) => {
        if (error instanceof Error && disconnected > 0) error.message += ` (${closedText(disconnected)} before)`
        throw error
      })
      io.out(asJson === true ? json({ disconnected, unanswered }) : `${closedText(disconnected)}\n${silentText(unanswered)}`)
      return unanswered.length > 0 ? EXIT_UNAVAILABLE : disconnected > 0 ? EXIT_OK : EXIT_NO
    }
  }, args, io)
}

function closedText (count: number): string {
  return `${count} ${count === 1 ? 'socket' : 'sockets'} closed`
}
