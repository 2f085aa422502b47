/** Rows in words, and who is asked: the ways that whole nodes show less easily. Whole ways are in test/flows/explain.test.ts. */
import t from 'tap'
import { Hub } from '../../../src/connections/hub.ts'
import type { SendResult } from '../../../src/connections/outbox.ts'
import { Tracker } from '../../../src/delivery/tracker.ts'
import { ClusterExplainer } from '../../../src/explain/cluster-explainer.ts'
import { Explainer, MAX_EXPLAINED } from '../../../src/explain/explainer.ts'
import { explanationOf } from '../../../src/explain/explanation.ts'
import { Recorder } from '../../../src/explain/recorder.ts'
import type { ExplainRequest } from '../../../src/generated/gateway/v1/gateway.ts'
import { connect } from '../../helpers/connections.ts'
import { FakeMeter } from '../../helpers/fakes.ts'
import { ManualClock } from '../../helpers/manual-clock.ts'

function world () {
  const clock = new ManualClock()
  const recorder = new Recorder({ clock, entries: 2_000, bytes: 1024 ** 2 })
  const explainer = new Explainer({ nodeId: 'n1', clock, recorder })
  const explain = (msgId: string): string[] => explanationOf('n1', explainer.explain({ msgId, userId: '' })).events.map(({ step, detail }) => detail === '' ? step : `${step}: ${detail}`)
  const hub = new Hub()
  const state: { answer: SendResult } = { answer: 'queued' }
  const tracker = new Tracker({ clock, meter: new FakeMeter(), recorder, outbox: { send: (connection, frame) => { if (state.answer === 'queued') connection.queue = [frame]; return state.answer } }, maxPending: 3, maxPendingBytes: 1_000 })
  const push = (connection: Parameters<Tracker['push']>[0], msgId: string): void => { tracker.push(connection, msgId, Buffer.from(msgId), 5_000, { settled: () => {} }) }
  return { clock, recorder, explainer, explain, hub, state, tracker, push }
}

t.test('[GW-OBS-6] a device\'s part ends as its wait does, and says whether it was written before', async (t) => {
  const { clock, explain, hub, state, tracker, push } = world()
  const { connection } = connect(hub, 'bob')
  push(connection, 'm1')
  tracker.written(connection, 0)
  push(connection, 'm2')
  push(connection, 'm1')
  clock.advance(1)
  tracker.connectionClosed(connection, 'gone')
  t.strictSame(explain('m1'), ['queued', 'written', 'queued: it waits for this device already and is not written again', 'connection_lost: its socket closed', 'connection_lost: its socket closed'])
  t.strictSame(explain('m2'), ['queued', 'connection_lost: its socket closed'], 'it was still in the queue')

  push(connection, 'm3')
  clock.advance(1)
  tracker.written(connection, 4_096)
  clock.advance(1)
  tracker.connectionClosed(connection, 'slow')
  t.strictSame(explain('m3'), ['queued', 'written: the kernel has not taken all: 4096 bytes wait', 'slow: its queue, or the list of its unanswered pushes, is full'])
  connection.closedFor = 'replaced'
  push(connection, 'm4')
  tracker.connectionClosed(connection, 'gone')
  t.strictSame(explain('m4').at(-1), 'replaced: the device is looked for on other nodes')
  state.answer = 'closed'
  push(connection, 'm5')
  t.strictSame(explain('m5'), ['queued', 'connection_lost: its socket closed'])
})

t.test('what is sent again to the new connection of a device has a part there', async (t) => {
  const { clock, explain, hub, tracker, push } = world()
  const [{ connection: older }, { connection: newer }] = [connect(hub, 'bob'), connect(hub, 'bob')]
  push(older, 'm1')
  tracker.written(older, 0)
  clock.advance(1)
  tracker.connectionClosed(older, 'gone', newer)
  clock.advance(1)
  tracker.written(newer, 0)
  tracker.ack(newer, 'm1')
  t.strictSame(explain('m1'), ['queued', 'written', 'replaced: sent again to the new connection of the device', 'queued', 'written', 'acknowledged'])
})

t.test('what an outbox wrote at once counts as written, and a wait that goes takes no other\'s mark', async (t) => {
  const { explain, hub, tracker, push } = world()
  const { connection } = connect(hub, 'bob')
  push(connection, 'm1')
  push(connection, 'm2')
  tracker.ack(connection, 'm1')
  tracker.written(connection, 0)
  t.strictSame(explain('m1'), ['queued', 'acknowledged'])
  t.strictSame(explain('m2'), ['queued', 'written'])
  const relieved = new Tracker({ clock: new ManualClock(), meter: new FakeMeter(), recorder: world().recorder, outbox: { send: () => 'queued' }, maxPending: 1, maxPendingBytes: 10 })
  const { connection: other } = connect(hub, 'zoe')
  relieved.push(other, 'm1', Buffer.from('m1'), 5_000, { settled: () => {} })
  t.equal(other.pending?.unwritten, null)
})

t.test('times are those of the wall clock as it stands, whatever it said before', async (t) => {
  const { clock, recorder, explainer } = world()
  recorder.noted('send', 'm1', 'ann', 'phone', 'bob', 'OVERLOADED')
  clock.advance(1_000)
  clock.jumpUnix(60_000)
  const { events, oldestAt } = explainer.explain({ msgId: 'm1', userId: '' })
  t.strictSame(events.map(({ at }) => at), [BigInt(clock.unixMs() - 1_000), BigInt(clock.unixMs() - 1_000)])
  t.equal(oldestAt, BigInt(clock.unixMs() - 1_000))
})

t.test('[GW-OBS-6] an answer is bounded and says what it leaves out; a request names one id', async (t) => {
  const { recorder, explainer } = world()
  for (let at = 0; at < MAX_EXPLAINED + 7; at++) recorder.noted('push', `m${at}`, 'bob', '', 'ann', 'OVERLOADED')
  const { events, leftOff } = explainer.explain({ msgId: '', userId: 'bob' })
  t.equal(events.length, 2 * MAX_EXPLAINED)
  t.equal(leftOff, 7)
  for (const [request, words] of [
    [{ msgId: '', userId: '' }, /one of/], [{ msgId: 'm', userId: 'u' }, /one of/], [{ msgId: 'ä', userId: '' }, /msg_id must/], [{ msgId: '', userId: '\u0007' }, /user_id must/]
  ] as const) t.throws(() => explainer.explain(request), { code: 'INVALID_MESSAGE', message: words })
  t.strictSame(new Explainer({ nodeId: 'n1', clock: new ManualClock(), recorder: undefined }).explain({ msgId: 'm1', userId: '' }), { events: [], oldestAt: 0n, leftOff: 0 })
})

t.test('outcomes of calls have their words', async (t) => {
  const { recorder, explain } = world()
  const ended = (kind: 'push' | 'receipt' | 'group' | 'send', outcome: string, first = 0, second = 0): string | undefined => {
    recorder.ended(recorder.begin(kind, `${kind}${outcome}${first}`, 'bob', '', 'ann'), outcome, first, second)
    return explain(`${kind}${outcome}${first}`).at(-1)
  }
  t.equal(ended('push', 'incomplete'), 'push_answered: no device is connected; the registry could not be read, there may be more')
  t.equal(ended('push', 'UNAVAILABLE'), 'push_refused: UNAVAILABLE')
  t.equal(ended('receipt', 'answered', 1, 2), 'push_answered: written to 1 of 2 devices')
  t.equal(ended('group', 'ok', 3, 1), 'group_delivered: 3 of 4 sockets took it; 1 were closing, or closed as too slow')
  t.equal(ended('group', 'no_members'), 'group_passed_over: no member of the group is connected here')
  t.equal(ended('send', 'ok', 1), 'accepted: its connection had closed: the sender got no ack')
  t.equal(ended('send', 'DRAINING'), 'refused: the connection is being drained: the client sends it again to its next node')
})

t.test('[GW-OBS-6] all other nodes are asked once, but for those that somebody else asks; a failure is named', async (t) => {
  const { explainer } = world()
  const asked: string[] = []
  const cluster = new ClusterExplainer({
    nodeId: 'n1',
    explainer,
    otherNodes: () => new Map([['n0', 'a0'], ['n2', 'a2'], ['n3', 'a3']]),
    peers: {
      explain: async (address: string, { msgId }: ExplainRequest, deadlineMs: number) => {
        asked.push(`${address} ${msgId} ${deadlineMs > 0}`)
        if (address === 'a2') throw new Error('no route')
        return { events: [{ at: 5n, nodeId: 'n3', step: 99 as never, deviceId: '', detail: '', msgId, userId: '' }], oldestAt: 7n, leftOff: 1 }
      }
    }
  })
  t.strictSame(await cluster.explain({ msg_id: 'm1', scope: 'cluster', except: ['n0'] }), {
    events: [{ at: 5, node_id: 'n3', step: '99', msg_id: 'm1', user_id: '', device_id: '', detail: '' }],
    nodes: [{ node_id: 'n1', oldest_at: null, left_off: 0 }, { node_id: 'n2', oldest_at: null, left_off: 0, error: 'no route' }, { node_id: 'n3', oldest_at: 7, left_off: 1 }]
  })
  t.strictSame(asked, ['a2 m1 true', 'a3 m1 true'])
  t.match(await cluster.explain({ msg_id: 'm1', scope: 'local' }), { nodes: [{ node_id: 'n1' }] })
  t.match(await cluster.explain({ msg_id: 'm1', scope: 'cluster', except: ['n0', 'n1', 'n2'] }), { nodes: [{ node_id: 'n3' }] })
  t.equal(asked.length, 3)
  await t.rejects(cluster.explain({ scope: 'local' }), { code: 'INVALID_MESSAGE' })
})
