/** Rows of the recorder in words: one event for each thing that happened. */
import { ExplainStep, type ExplainEvent } from '../generated/gateway/v1/gateway.ts'
import type { Row, RowKind } from './recorder.ts'

/** Outcomes of a device, of its own socket or as another node reports them, and of a send that ended well. */
const OUTCOME_STEPS: Readonly<Record<string, ExplainStep>> = {
  ACKED: ExplainStep.EXPLAIN_STEP_ACKNOWLEDGED,
  ACK_TIMEOUT: ExplainStep.EXPLAIN_STEP_ACK_TIMEOUT,
  SLOW: ExplainStep.EXPLAIN_STEP_SLOW,
  GONE: ExplainStep.EXPLAIN_STEP_CONNECTION_LOST,
  MOVED: ExplainStep.EXPLAIN_STEP_REPLACED,
  REPLACED: ExplainStep.EXPLAIN_STEP_REPLACED
}

/** Outcomes that need a word. What is not here is a code, and its own detail. */
const OUTCOME_TEXTS: Readonly<Record<string, string>> = {
  SLOW: 'its queue, or the list of its unanswered pushes, is full',
  GONE: 'its socket closed',
  MOVED: 'the device is looked for on other nodes',
  REPLACED: 'sent again to the new connection of the device',
  DRAINING: 'the connection is being drained: the client sends it again to its next node',
  CONNECTION_CLOSED: 'the connection closed before its turn: the client sends it again',
  no_members: 'no member of the group is connected here'
}

const FIRST: Readonly<Record<RowKind, ExplainStep>> = {
  send: ExplainStep.EXPLAIN_STEP_SENT,
  repeat: ExplainStep.EXPLAIN_STEP_JOINED,
  push: ExplainStep.EXPLAIN_STEP_PUSH_RECEIVED,
  receipt: ExplainStep.EXPLAIN_STEP_PUSH_RECEIVED,
  device: ExplainStep.EXPLAIN_STEP_QUEUED,
  again: ExplainStep.EXPLAIN_STEP_QUEUED,
  late: ExplainStep.EXPLAIN_STEP_LATE_ACKNOWLEDGED,
  elsewhere: ExplainStep.EXPLAIN_STEP_REPORTED,
  group: ExplainStep.EXPLAIN_STEP_GROUP_RECEIVED,
  opened: ExplainStep.EXPLAIN_STEP_CONNECTED,
  closed: ExplainStep.EXPLAIN_STEP_DISCONNECTED
}

/** An event with its time on the monotonic clock, which tells apart what happened in one millisecond. */
export interface Timed { readonly atMs: number, readonly event: ExplainEvent }

/** `unixOf`: Unix milliseconds of a time of the monotonic clock. */
export function eventsOf (row: Row, nodeId: string, unixOf: (monotonicMs: number) => number): Timed[] {
  const event = (atMs: number, step: ExplainStep, detail: string): Timed => ({
    atMs, event: { at: BigInt(Math.round(unixOf(atMs))), nodeId, step, deviceId: row.deviceId, detail, msgId: row.msgId, userId: row.userId }
  })
  const events = [event(row.atMs, FIRST[row.kind], firstDetail(row))]
  if (row.kind === 'elsewhere' || row.kind === 'closed') return events
  if (!Number.isNaN(row.passedAtMs)) events.push(row.kind === 'send' ? event(row.passedAtMs, ExplainStep.EXPLAIN_STEP_UPSTREAM, '') : event(row.passedAtMs, ExplainStep.EXPLAIN_STEP_WRITTEN, waiting(row)))
  if (!Number.isNaN(row.endedAtMs)) events.push(event(row.endedAtMs, lastStep(row), lastDetail(row)))
  return events
}

function firstDetail ({ kind, otherId, outcome, counts: [first, second] }: Row): string {
  switch (kind) {
    case 'send': case 'repeat': return otherId === '' ? '' : `for ${otherId}`
    case 'push': case 'group': return `from ${otherId}`
    case 'receipt': return `read by ${otherId}`
    case 'again': return 'it waits for this device already and is not written again'
    case 'elsewhere': return `${otherId === '' ? 'no node' : otherId}: ${outcome}${first > 0 ? ` after ${first} ms` : ''}`
    case 'opened': return otherId
    case 'closed': return `${first} ${outcome} after ${second} s, ${otherId}`
    case 'device': case 'late': return ''
  }
}

/** Of the node's own memory: what the kernel holds beyond it nobody knows. */
function waiting ({ counts: [, , bytes] }: Row): string {
  return bytes === 0 ? '' : `the kernel has not taken all: ${bytes} bytes wait`
}

function lastStep ({ kind, outcome }: Row): ExplainStep {
  switch (kind) {
    case 'send': case 'repeat': return outcome === 'ok' ? ExplainStep.EXPLAIN_STEP_ACCEPTED : ExplainStep.EXPLAIN_STEP_REFUSED
    case 'push': case 'receipt': return outcome === 'answered' || outcome === 'incomplete' ? ExplainStep.EXPLAIN_STEP_PUSH_ANSWERED : ExplainStep.EXPLAIN_STEP_PUSH_REFUSED
    case 'group': return outcome === 'ok' ? ExplainStep.EXPLAIN_STEP_GROUP_DELIVERED : ExplainStep.EXPLAIN_STEP_GROUP_PASSED_OVER
    case 'device': case 'again': case 'late': case 'elsewhere': case 'opened': case 'closed': return OUTCOME_STEPS[outcome] ?? ExplainStep.EXPLAIN_STEP_UNSPECIFIED
  }
}

function lastDetail ({ kind, outcome, counts: [first, second] }: Row): string {
  if (outcome === 'answered' || outcome === 'incomplete') {
    const known = outcome === 'answered' ? '' : '; the registry could not be read, there may be more'
    return (second === 0 ? 'no device is connected' : `${kind === 'push' ? 'acknowledged by' : 'written to'} ${first} of ${second} devices`) + known
  }
  if (kind === 'group' && outcome === 'ok') return `${first} of ${first + second} sockets took it${second === 0 ? '' : `; ${second} were closing, or closed as too slow`}`
  if (outcome === 'ok') return first === 1 ? 'its connection had closed: the sender got no ack' : ''
  return OUTCOME_TEXTS[outcome] ?? (OUTCOME_STEPS[outcome] === undefined ? outcome : '')
}
