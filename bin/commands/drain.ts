/** `im-gateway drain`: empties nodes, watches it, or calls it off. */
import { setTimeout } from 'node:timers/promises'
import Type, { type Static } from 'typebox'
import type { Environment } from '../../src/config/parse.ts'
import { parseDuration } from '../../src/config/units.ts'
import { ADMIN_OPTION, ADMIN_USAGE, adminPorts, askAll, unansweredWorkers, type AdminPort } from '../admin-port.ts'
import { json, runCommand, silentText, table, time } from '../command-line.ts'
import type { Io } from '../dispatch.ts'
import { EXIT_NO, EXIT_OK, EXIT_UNAVAILABLE } from '../exit-codes.ts'

const USAGE = `Usage: im-gateway drain [OPTION...]

Empties the nodes that are asked: readiness fails, upgrades are refused, clients are told and closed one after the other
within DRAIN_TIMEOUT. The processes stay.

  --status       only tells how far it is
  --cancel       calls it off: clients are taken again
  --wait         comes back once the nodes are empty
  --timeout TIME with --wait: gives up after so long, 90s for instance; default 1h
${ADMIN_USAGE}`

const TIMEOUT = '1h'

/** How `--wait` waits, in milliseconds. */
interface Pace { readonly pollMs: number, readonly nowMs: () => number }
const PACE: Pace = { pollMs: 1_000, nowMs: () => performance.now() }

const Progress = Type.Object({
  phase: Type.String(),
  closed: Type.Number(),
  remaining: Type.Number(),
  deadlineAt: Type.Optional(Type.Number()),
  // Of several workers those that did not answer, and count for nothing in the rest.
  unanswered: Type.Optional(Type.Array(Type.String()))
})

interface State extends Static<typeof Progress> { readonly admin: string, readonly cancelled?: boolean }

/** Resolves to the exit code: 1 where a drain cannot be called off any more or is not over in time, 69 where a node or a worker did not answer. */
export async function drainCommand (args: readonly string[], io: Io, env: Environment = process.env, pace = PACE): Promise<number> {
  return await runCommand({
    usage: USAGE,
    options: { ...ADMIN_OPTION, status: { type: 'boolean', default: false }, cancel: { type: 'boolean', default: false }, wait: { type: 'boolean', default: false }, timeout: { type: 'string' } },
    words: [0, 0],
    run: async ({ admin, json: asJson, status, cancel, wait, timeout }) => {
      if ([status, cancel, wait].filter(Boolean).length > 1) throw new RangeError('--status, --cancel and --wait exclude each other')
      if (timeout !== undefined && !wait) throw new RangeError('--timeout is for --wait')
      const timeoutMs = parseDuration(timeout ?? TIMEOUT)
      if (timeoutMs === undefined) throw new RangeError(`--timeout ${timeout}: it is a time like 90s or 1h`)
      const giveUpAtMs = pace.nowMs() + timeoutMs
      const ports = adminPorts(admin, env)
      const { answers: states, unanswered: silentPorts } = await askAll(ports, async (port) => {
        if (cancel) return await callOff(port)
        const state = await look(port, status ? 'GET' : 'POST')
        return wait ? await empty(port, state, giveUpAtMs, pace) : state
      })
      const unanswered = [...silentPorts, ...states.flatMap(({ admin, unanswered: workers }) => unansweredWorkers(admin, workers))]
      io.out(asJson === true ? json([...states, ...unanswered]) : `${table([HEAD, ...states.map(lineOf)])}${silentText(unanswered)}`)
      if (unanswered.length > 0) return EXIT_UNAVAILABLE
      return states.some((state) => state.cancelled === false || (wait && isBusy(state))) ? EXIT_NO : EXIT_OK
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

/** Until it has nobody left to close, somebody called it off, or the time is over. */
async function empty (port: AdminPort, state: State, giveUpAtMs: number, { pollMs, nowMs }: Pace): Promise<State> {
  while (isBusy(state) && nowMs() < giveUpAtMs) {
    await setTimeout(pollMs)
    state = await look(port, 'GET')
  }
  return state
}

/** A worker that does not answer may have clients still: it is replaced if that lasts. */
function isBusy ({ phase, unanswered = [] }: State): boolean {
  return (phase !== 'held' && phase !== 'off') || unanswered.length > 0
}

const HEAD = ['ADMIN', 'PHASE', 'CLOSED', 'REMAINING', 'DEADLINE']

function lineOf ({ admin, phase, closed, remaining, deadlineAt, cancelled }: State): string[] {
  return [admin, cancelled === false ? `${phase}, the process is ending` : phase, String(closed), String(remaining), deadlineAt === undefined ? '' : time(deadlineAt)]
}
