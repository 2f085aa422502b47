import t from 'tap'
import type { HealthReport } from '../../../src/health.ts'
import { mergeConnections, mergeDrain, mergeExplained, mergeHealth, mergeMetrics } from '../../../src/workers/merge.ts'

const since = '2026-01-01T00:00:00.000Z'
const up = { state: 'up', since } as const
const report = (change: Partial<HealthReport> = {}): HealthReport => ({ ready: true, phase: 'serving', since, dependencies: { etcd: up, kafka: up }, ...change })

t.test('[GW-OBS-4] all together are ready while one is, and each dependency is as the worst of them sees it', async (t) => {
  const merged = mergeHealth([
    { worker: 'a', value: report({ ready: false, reason: 'overloaded: memory' }) },
    { worker: 'b', value: report({ dependencies: { etcd: { state: 'down', since, detail: 'away' }, kafka: { state: 'unknown', since } } }) },
    { worker: 'c', value: undefined }
  ], since)
  t.strictSame(merged, {
    ready: true,
    phase: 'serving',
    since,
    dependencies: { etcd: { state: 'down', since, detail: 'away (b)' }, kafka: { state: 'unknown', since } },
    workers: [{ worker: 'a', ready: false, phase: 'serving', reason: 'overloaded: memory' }, { worker: 'b', ready: true, phase: 'serving' }, { worker: 'c', ready: false, phase: 'unresponsive' }]
  })
  t.match(mergeHealth([{ worker: 'a', value: report({ ready: false, phase: 'draining', reason: 'draining' }) }, { worker: 'b', value: undefined }], since), { ready: false, phase: 'draining', reason: 'draining' })
  t.match(mergeHealth([{ worker: 'a', value: undefined }], since), { ready: false, phase: 'starting', reason: 'no worker answers', since })
})

t.test('a drain is as far as the last of them, and its numbers are their sums', async (t) => {
  const closing = { phase: 'closing', total: 10, closed: 4, remaining: 6, closesPerSecond: 5, offeredPerSecond: 50, startedAt: 100, deadlineAt: 900 } as const
  const held = { phase: 'held', total: 5, closed: 5, remaining: 0, closesPerSecond: 0, startedAt: 90, deadlineAt: 950 } as const
  t.strictSame(mergeDrain([{ worker: 'a', value: closing }, { worker: 'b', value: held }, { worker: 'c', value: undefined }]), {
    phase: 'closing',
    total: 15,
    closed: 9,
    remaining: 6,
    closesPerSecond: 5,
    offeredPerSecond: 50,
    startedAt: 90,
    deadlineAt: 950,
    workers: [{ worker: 'a', ...closing }, { worker: 'b', ...held }],
    unanswered: ['c']
  })
  t.strictSame(mergeDrain([{ worker: 'a', value: undefined }]), { phase: 'off', total: 0, closed: 0, remaining: 0, closesPerSecond: 0, workers: [], unanswered: ['a'] })
  t.strictSame(mergeDrain([{ worker: 'a', value: { phase: 'off', total: 0, closed: 0, remaining: 3 } }]).remaining, 3)
})

t.test('connections are listed up to the limit, metrics under one head', async (t) => {
  const list = (...ids: string[]) => ({ total: 10, listed: ids.length, connections: ids.map((id) => ({ id })) })
  t.strictSame(mergeConnections([{ worker: 'a', value: list('1', '2') }, { worker: 'b', value: undefined }, { worker: 'c', value: list('3', '4') }], 3), {
    total: 20, listed: 3, connections: [{ id: '1' }, { id: '2' }, { id: '3' }], unanswered: ['b']
  })
  const family = (name: string, worker: string) => ({ name, help: 'h', type: 'gauge', values: [{ labels: { worker }, value: 1 }] })
  t.strictSame(mergeMetrics([[family('x', '0'), family('y', '0')], [family('x', '1')], []]), [
    { name: 'x', help: 'h', type: 'gauge', values: [{ labels: { worker: '0' }, value: 1 }, { labels: { worker: '1' }, value: 1 }] },
    family('y', '0')
  ])
})

t.test('what the workers remember is one list by time, with the nodes beside them; a silent one is named', async (t) => {
  const event = (at: number, node: string) => ({ at, node_id: node, step: 'sent', msg_id: 'm', user_id: 'u', device_id: 'd', detail: '' })
  const memory = (node: string) => ({ node_id: node, oldest_at: 1, left_off: 0 })
  const merged = mergeExplained([
    { worker: 'gw-0', value: { events: [event(3, 'gw-0')], nodes: [memory('gw-0')] } }, { worker: 'gw-1', value: undefined }
  ], { events: [event(2, 'a')], nodes: [memory('a')] })
  t.strictSame(merged.events.map(({ node_id: node }) => node), ['a', 'gw-0'])
  t.strictSame(merged.nodes, [memory('a'), memory('gw-0'), { node_id: 'gw-1', oldest_at: null, left_off: 0, error: 'does not answer' }])
  t.strictSame(mergeExplained([], undefined), { events: [], nodes: [] })
})
