/** `im-gateway connections` and `im-gateway disconnect`: who is here, and the end of a user's sockets. */
import type { Environment } from '../../src/config/parse.ts'
import { ADMIN_OPTION, ADMIN_USAGE, adminPorts } from '../admin-port.ts'
import { json, runCommand, table, time } from '../command-line.ts'
import type { Io } from '../dispatch.ts'
import { EXIT_NO, EXIT_OK } from '../exit-codes.ts'

const CONNECTIONS_USAGE = `Usage: im-gateway connections [OPTION...]

Lists who is connected to the nodes that are asked, all workers of each.

  --user USER   of this user alone
  --device ID   with this device alone
  --limit N     at most so many of each node, 1 to 1000; default 100
${ADMIN_USAGE}`

const DISCONNECT_USAGE = `Usage: im-gateway disconnect [OPTION...] USER

Ends the user's sockets on all nodes with 4403. It revokes no token: whoever has one may connect again.

  --device ID   of this device alone
  --reason TEXT for the log of the nodes
${ADMIN_USAGE}`

interface Listed {
  readonly node_id: string
  readonly connection_id: string
  readonly user_id: string
  readonly device_id: string
  readonly state: string
  readonly opened_at: number
  readonly queued_bytes: number
  readonly paused: boolean
}
interface List { readonly total: number, readonly listed: number, readonly connections: readonly Listed[] }

/** Resolves to the exit code: 1 where nobody fits. */
export async function connectionsCommand (args: readonly string[], io: Io, env: Environment = process.env): Promise<number> {
  return await runCommand({
    usage: CONNECTIONS_USAGE,
    options: { ...ADMIN_OPTION, user: { type: 'string' }, device: { type: 'string' }, limit: { type: 'string' } },
    words: [0, 0],
    run: async ({ admin, json: asJson, user, device, limit }) => {
      const lists = await Promise.all(adminPorts(admin, env).map(async (port) => (await port.ask<List>('GET', '/connections', { user, device, limit })).body))
      const connections = lists.flatMap((list) => list.connections)
      const total = lists.reduce((sum, list) => sum + list.total, 0)
      io.out(asJson === true ? json({ total, listed: connections.length, connections }) : `${connections.length === 0 ? '' : table([HEAD, ...connections.map(lineOf)])}${connections.length} listed of ${total} that are connected\n`)
      return connections.length > 0 ? EXIT_OK : EXIT_NO
    }
  }, args, io)
}

const HEAD = ['NODE', 'CONNECTION', 'USER', 'DEVICE', 'STATE', 'SINCE', 'QUEUED BYTES']

function lineOf (each: Listed): string[] {
  return [each.node_id, each.connection_id, each.user_id, each.device_id, each.paused ? `${each.state}, not read` : each.state, time(each.opened_at), String(each.queued_bytes)]
}

/** Resolves to the exit code: 1 where nobody was connected. */
export async function disconnectCommand (args: readonly string[], io: Io, env: Environment = process.env): Promise<number> {
  return await runCommand({
    usage: DISCONNECT_USAGE,
    options: { ...ADMIN_OPTION, device: { type: 'string' }, reason: { type: 'string' } },
    words: [1, 1],
    run: async ({ admin, json: asJson, device, reason }, [user]) => {
      let disconnected = 0
      // One after the other: each closes those of all nodes, and what is closed is counted once.
      for (const port of adminPorts(admin, env)) disconnected += (await port.ask<{ readonly disconnected: number }>('DELETE', '/connections', { user, device, reason })).body.disconnected
      io.out(asJson === true ? json({ disconnected }) : `${disconnected} ${disconnected === 1 ? 'socket' : 'sockets'} closed\n`)
      return disconnected > 0 ? EXIT_OK : EXIT_NO
    }
  }, args, io)
}
