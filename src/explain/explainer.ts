/** Answers Explain: what this node remembers of a message or of a user's messages. */
import { GatewayError } from '../errors.ts'
import type { ExplainRequest, ExplainResponse } from '../generated/gateway/v1/gateway.ts'
import type { Clock } from '../ports.ts'
import { explainFault } from '../delivery/field-limits.ts'
import { eventsOf } from './events.ts'
import type { Recorder } from './recorder.ts'

export interface ExplainerOptions {
  readonly nodeId: string
  readonly clock: Clock
  /** undefined: nothing is remembered. */
  readonly recorder: Recorder | undefined
}

/** Entries that one answer tells; a unary reply has to hold them. */
export const MAX_EXPLAINED = 500

export class Explainer {
  readonly #options: ExplainerOptions

  constructor (options: ExplainerOptions) {
    this.#options = options
  }

  /** In order of time. Throws a GatewayError, INVALID_MESSAGE, that names the field. */
  explain (request: ExplainRequest): ExplainResponse {
    const fault = explainFault(request)
    if (fault !== undefined) throw new GatewayError('INVALID_MESSAGE', { detail: fault })
    const { recorder, clock, nodeId } = this.#options
    if (recorder?.oldestAtMs === undefined) return { events: [], oldestAt: 0n, leftOff: 0 }
    // The wall clock may have been set since: what it says now holds for all.
    const offsetMs = clock.unixMs() - clock.monotonicMs()
    const unixOf = (monotonicMs: number): number => monotonicMs + offsetMs
    const { rows, leftOff } = request.msgId === '' ? recorder.find('user', request.userId, MAX_EXPLAINED) : recorder.find('message', request.msgId, MAX_EXPLAINED)
    // Of one time the order of the rows stands: the sort is stable.
    const events = rows.flatMap((row) => eventsOf(row, nodeId, unixOf)).sort((a, b) => a.atMs - b.atMs)
    return { events: events.map(({ event }) => event), oldestAt: BigInt(Math.round(unixOf(recorder.oldestAtMs))), leftOff }
  }
}
