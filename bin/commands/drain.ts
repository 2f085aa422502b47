/** `im-gateway drain`: empties nodes, watches it, or calls it off. */
import { setTimeout } from 'node:timers/promises'
import Type, { type Static } from 'typebox'
import type { Environment } from '../../src/config/parse.ts'
import { ADMIN_OPTION, ADMIN_USAGE, adminPorts, askAll, unansweredWorkers, type AdminPort, type Unanswered } from '../admin-port.ts'
import { json, runCommand, silentText, table, time } from '../command-line.ts'
import type { Io } from '../dispatch.ts'
import { EXIT_NO, EXIT_OK, EXIT_UNAVAILABLE } from '../exit-codes.ts'

const USAGE = `Usage: im-gateway drain [OPTION...]

Empties the nodes that are asked: readiness fails, upgrades are refused, clients are told and closed one after the other
within DRAIN_TIMEOUT. The processes stay.

  --status      only tells how far it is
  --cancel      calls it off: clients are taken again
  --wait        comes back once the nodes are empty
${ADMIN_USAGE}`

const POLL_MS = 1_000

const Progress = Type.Object({
  phase: Type.String(),
  closed: Type.Number(),
  remaining: Type.Number(),
  deadlineAt: Type.Optional(Type.Number()),
  // Of several; one that did not answer has a name alone, and counts for nothing in the rest.
  workers: Type.Optional(Type.Array(Type.Object({ worker: Type.String(), phase: Type.Optional(Type.String()) })))
})

interface State extends Static<typeof Progress> { readonly admin: string, readonly cancelled?: boolean }

/** Resolves to the exit code: 1 where a drain cannot be called off any more, 69 where a node or a worker did not answer. `pollMs`: between two looks of `--wait`. */
export async function drainCommand (args: readonly string[], io: Io, env: Environment = process.env, pollMs = POLL_MS): Promise<number> {
  return await runCommand({
    usage: USAGE,
    options: { ...ADMIN_OPTION, status: { type: 'boolean', default: false }, cancel: { type: 'boolean', default: false }, wait: { type: 'boolean', default: false } },
    words: [0, 0],
    run: async ({ admin, json: asJson, status, cancel, wait }) => {
      if ([status, cancel, wait].filter(Boolean).length > 1) throw new RangeError('--status, --cancel and --wait exclude each other')
      const ports = adminPorts(admin, env)
      const { answers: states, unanswered: silentPorts } = await askAll(ports, async (port) => {
        if (cancel) return await callOff(port)
        const state = await look(port, status ? 'GET' : 'POST')
        return wait ? await empty(port, state, pollMs) : state
      })
      const unanswered = [...silentPorts, ...states.flatMap(silentOf)]
      io.out(asJson === true ? json([...states, ...unanswered]) : `${table([HEAD, ...states.map(lineOf)])}${silentText(unanswered)}`)
      if (unanswered.length > 0) return EXIT_UNAVAILABLE
      return states.some(({ cancelled }) => cancelled === false) ? EXIT_NO : EXIT_OK
    }
  }, args, io)
}

async function look (port: AdminPort, method: 'GET' | 'POST'): Promise<State> {
  return { admin: port.url, ...(await port.ask(method, '/drain', { answer: Progress })).body }
}

async function callOff (port: AdminPort): Promise<State> {
  const { status, body } = await port.ask('DELETE', '/drain', { answer: Progress, expected: [409] })
  return { admin: port.url, ...body, cancelled: status !== 409 }
}

function silentOf ({ admin, workers = [] }: State): Unanswered[] {
  return unansweredWorkers(admin, workers.flatMap(({ worker, phase }) => phase === undefined ? [worker] : []))
}

/** Until it has nobody left to close, or somebody called it off. A worker that does not answer may have clients still: it is replaced if that lasts. */
async function empty (port: AdminPort, state: State, pollMs: number): Promise<State> {
  while ((state.phase !== 'held' && state.phase !== 'off') || silentOf(state).length > 0) {
    await setTimeout(pollMs)
    state = await look(port, 'GET')
  }
  return state
}

const HEAD = ['ADMIN', 'PHASE', 'CLOSED', 'REMAINING', 'DEADLINE']

function lineOf (state: State): string[] {
  const { admin, phase, closed, remaining, deadlineAt, cancelled } = state
  return [admin, cancelled === false && silentOf(state).length === 0 ? `${phase}, the process is ending` : phase, String(closed), String(remaining), deadlineAt === undefined ? '' : time(deadlineAt)]
}
