/** What nodes remember, as operators read it: one list of events, and how far back each node goes. */
import { ExplainStep, type ExplainEvent, type ExplainResponse } from '../generated/gateway/v1/gateway.ts'

/** One of `msg_id` and `user`. */
export interface ExplainQuery {
  readonly msg_id?: string
  readonly user?: string
  /** `local`: the node that is asked alone. */
  readonly scope: 'cluster' | 'local'
  /** Nodes that are asked by somebody else. */
  readonly except?: readonly string[]
}

export interface Explained {
  /** Unix milliseconds. */
  readonly at: number
  readonly node_id: string
  readonly step: string
  readonly msg_id: string
  readonly user_id: string
  readonly device_id: string
  readonly detail: string
}

/** One node's answer. */
export interface NodeMemory {
  readonly node_id: string
  /** Unix milliseconds of the oldest that it remembers; null: it remembers nothing. */
  readonly oldest_at: number | null
  /** Older entries that match and are not told. */
  readonly left_off: number
  /** It did not answer. */
  readonly error?: string
}

export interface Explanation { readonly events: readonly Explained[], readonly nodes: readonly NodeMemory[] }

const STEPS = Object.fromEntries(Object.entries(ExplainStep).map(([name, step]) => [step, name.replace('EXPLAIN_STEP_', '').toLowerCase()])) as Readonly<Record<ExplainStep, string>>

/** A node's answer, in an operator's words. */
export function explanationOf (nodeId: string, { events, oldestAt, leftOff }: ExplainResponse): Explanation {
  return {
    events: events.map(explained),
    nodes: [{ node_id: nodeId, oldest_at: oldestAt === 0n ? null : Number(oldestAt), left_off: leftOff }]
  }
}

/** Of a node that did not answer. */
export function unanswered (nodeId: string, error = 'does not answer'): Explanation {
  return { events: [], nodes: [{ node_id: nodeId, oldest_at: null, left_off: 0, error }] }
}

/** Of all nodes, in order of time as their clocks have it. */
export function mergeExplanations (all: readonly Explanation[]): Explanation {
  return {
    events: all.flatMap(({ events }) => events).sort((a, b) => a.at - b.at),
    nodes: all.flatMap(({ nodes }) => nodes).sort((a, b) => a.node_id < b.node_id ? -1 : 1)
  }
}

/** A step of a newer node is told by its number. */
function explained ({ at, nodeId, step, msgId, userId, deviceId, detail }: ExplainEvent): Explained {
  return { at: Number(at), node_id: nodeId, step: STEPS[step] ?? String(step), msg_id: msgId, user_id: userId, device_id: deviceId, detail }
}
