/** A ledger that breaks an invariant is found, by that invariant alone; one that keeps all of them is not. */
import t from 'tap'
import { BOUNDS, check, gaps, type Invariant } from './checker.ts'
import type { Entry, Said } from './ledger.ts'

/** Entries a tenth of a second apart where they name no time of their own. */
const ledger = (...said: Said[]): Entry[] => said.map((entry, i) => ({ atMs: i * 100, ...entry }) as Entry)
const opened = (conn: string, user = 'ann', atMs = 0): Said => ({ kind: 'opened', user, device: 'phone', conn, node: 'n1', atMs })
const registry = (atMs: number, routes: Record<string, string>): Said => ({ kind: 'registry', routes, atMs })
const accepted = (msgId: string, sequence: number, user = 'ann'): Said => ({ kind: 'accepted', user, msgId, conversation: 'ann:bob', sequence })
const pushed = (outcome: string, startedMs: number, atMs: number): Said => ({ kind: 'pushed', user: 'ann', msgId: 'm1', startedMs, atMs, devices: [{ device: 'phone', outcome }] })
const produced = (sequence: number, atMs: number): Said => ({ kind: 'produced', group: 'g', msgId: `g${sequence}`, sequence, atMs })
const received = (conn: string, sequence: number, atMs: number): Said => ({ kind: 'received', conn, recipient: 'g', msgId: `g${sequence}`, sequence, atMs })
const group: Said = { kind: 'group', group: 'g', members: ['ann'] }

const kept: ReadonlyArray<readonly [name: string, entries: Entry[]]> = [
  ['a message that is accepted, answered as unknown, accepted again and acknowledged', ledger(
    { kind: 'sent', user: 'ann', msgId: 'm1' }, accepted('m1', 1), { kind: 'error', user: 'ann', msgId: 'm1', code: 'TIMEOUT', retryable: true },
    accepted('m1', 1), { kind: 'acked', user: 'ann', msgId: 'm1', sequence: 1 }, accepted('m2', 2), accepted('m1', 3, 'bob'))],
  ['a push that is acknowledged, and one whose acknowledgement the socket took with it', ledger(
    opened('c1'), { kind: 'device_acked', conn: 'c1', msgId: 'm1', atMs: 1_000 }, pushed('ACKED', 900, 1_100),
    { kind: 'device_acked', conn: 'c1', msgId: 'm1', atMs: 2_000 }, { kind: 'closed', conn: 'c1', code: 1006, atMs: 2_100 }, pushed('ACK_TIMEOUT', 1_900, 7_000))],
  ['group records before the welcome, and after the last one that a closed connection got', ledger(
    group, produced(1, 10), opened('c1', 'ann', 100), produced(2, 200), received('c1', 2, 300), received('c1', 2, 310),
    { kind: 'closed', conn: 'c1', code: 1001, atMs: 400 }, produced(3, 390), opened('c2', 'ann', 500), produced(4, 600), received('c2', 4, 700))],
  ['keys that are missing in a fault and for a moment after it', ledger(
    opened('c1'), registry(1_000, { 'ann phone': 'c1' }), { kind: 'struck', atMs: 1_500 }, registry(2_000, {}), registry(9_000, {}),
    { kind: 'healed', atMs: 10_000 }, registry(11_000, {}), registry(39_000, {}), registry(42_000, { 'ann phone': 'c1' }))],
  ['a device that moves: the older connection has no key', ledger(
    opened('c1'), opened('c2', 'ann', 5_000), registry(6_000, { 'ann phone': 'c2' }), registry(9_000, { 'ann phone': 'c2' }))],
  ['a process that gives back what it took, and one that is killed on purpose', ledger(
    { kind: 'sample', node: 'n2', pid: 8, fds: 40, waiting: 1 }, { kind: 'sample', node: 'n1', pid: 7, fds: 40, waiting: 3 }, { kind: 'sample', node: 'n1', pid: 7, fds: 40 + BOUNDS.fds, waiting: 0 }, { kind: 'exited', node: 'n1', how: 'SIGKILL', expected: 'SIGKILL' })]
]
for (const [name, entries] of kept) {
  t.test(`it is silent on ${name}`, async (t) => { t.strictSame(check(entries), {}) })
}

const broken: ReadonlyArray<readonly [name: string, invariant: Invariant, entries: Entry[], words: RegExp]> = [
  ['an acknowledgement of what was never accepted', 'I1', ledger(accepted('m1', 1, 'bob'), { kind: 'acked', user: 'ann', msgId: 'm1', sequence: 1 }), /never accepted/],
  ['an acknowledgement with another number', 'I1', ledger(accepted('m1', 1), { kind: 'acked', user: 'ann', msgId: 'm1', sequence: 2 }), /accepted as 1 and acknowledged as 2/],
  ['an id that got two numbers', 'I2', ledger(accepted('m1', 1), accepted('m1', 2)), /accepted twice/],
  ['a number that was given to two ids', 'I2', ledger(accepted('m1', 1), accepted('m2', 1)), /given twice/],
  ['ACKED without an acknowledgement', 'I3', ledger(opened('c1'), pushed('ACKED', 100, 200)), /no connection said so/],
  ['ACKED on the word of another device', 'I3', ledger(opened('c1', 'bob'), { kind: 'device_acked', conn: 'c1', msgId: 'm1', atMs: 150 }, pushed('ACKED', 100, 200)), /no connection said so/],
  ['ACKED on an acknowledgement of an earlier push', 'I3', ledger(opened('c1'), { kind: 'device_acked', conn: 'c1', msgId: 'm1', atMs: 50 }, pushed('ACKED', 1_000, 1_200)), /no connection said so/],
  ['ACK_TIMEOUT though a live connection acknowledged', 'I3', ledger(opened('c1'), { kind: 'device_acked', conn: 'c1', msgId: 'm1', atMs: 200 }, pushed('ACK_TIMEOUT', 100, 5_100)), /acknowledged in time/],
  ['two outcomes of a device', 'I3', ledger({ kind: 'pushed', user: 'ann', msgId: 'm1', startedMs: 0, devices: [{ device: 'phone', outcome: 'GONE' }, { device: 'phone', outcome: 'SLOW' }] }), /two outcomes/],
  ['a device without an outcome', 'I3', ledger(pushed('UNSPECIFIED', 0, 100)), /no outcome/],
  ['a hole in what a live connection got', 'I4', ledger(group, opened('c1'), produced(1, 100), produced(2, 200), received('c1', 1, 300)), /lacks 1 of g, the first is 2/],
  ['a hole in what a closed connection got', 'I4', ledger(group, opened('c1'), produced(1, 100), produced(2, 200), received('c1', 2, 300), { kind: 'closed', conn: 'c1', code: 1000, atMs: 400 }), /lacks 1 of g, the first is 1/],
  ['a live connection that is missing outside of a fault', 'I5', ledger(opened('c1'), registry(1_000, {}), registry(4_000, {}), registry(5_000, { 'ann phone': 'c1' })), /missing since 3000 ms/],
  ['a live connection that is missing long after a fault', 'I5', ledger(opened('c1'), { kind: 'struck', atMs: 100 }, { kind: 'healed', atMs: 200 }, registry(31_000, {}), registry(34_000, {}), registry(35_000, { 'ann phone': 'c1' })), /missing since 3000 ms/],
  ['a key of a connection that is gone', 'I5', ledger(opened('c1'), { kind: 'closed', conn: 'c1', code: 1000, atMs: 100 }, registry(5_000, { 'ann phone': 'c1' })), /which is gone/],
  ['a live connection whose key names another at the end', 'I5', ledger(opened('c1'), opened('c2', 'bob'), registry(3_000, { 'bob phone': 'c2', 'ann phone': 'c2' })), /not registered at the end/],
  ['files that stay open', 'I6', ledger({ kind: 'sample', node: 'n1', pid: 7, fds: 40, waiting: 0 }, { kind: 'sample', node: 'n1', pid: 7, fds: 41 + BOUNDS.fds, waiting: 0 }), /91 open files, 40 before/],
  ['pushes that wait for ever', 'I6', ledger({ kind: 'sample', node: 'n1', pid: 7, fds: 40, waiting: 0 }, { kind: 'sample', node: 'n1', pid: 7, fds: 40, waiting: 2 }), /2 things wait/],
  ['an unexpected end', 'I7', ledger({ kind: 'exited', node: 'n1', how: '1', expected: '0' }), /ended with 1 instead of 0/],
  ['an uncaught error', 'I7', ledger({ kind: 'failure', node: 'n1', line: 'Uncaught TypeError' }), /Uncaught TypeError/]
]
for (const [name, invariant, entries, words] of broken) {
  t.test(`${invariant} finds ${name}`, async (t) => {
    const found = check(entries)
    t.strictSame(Object.keys(found), [invariant])
    t.equal(found[invariant]?.length, 1)
    t.match(found[invariant]?.[0], words)
  })
}

t.test('many sentences are told as a few and their number', async (t) => {
  const found = check(ledger(...Array.from({ length: 9 }, (_, i): Said => ({ kind: 'acked', user: 'ann', msgId: `m${i}`, sequence: 1 }))))
  t.equal(found['I1']?.at(-1), 'and 4 more')
  t.equal(found['I1']?.length, 6)
})

t.test('it looks at the invariants that are asked for', async (t) => {
  const entries = ledger(accepted('m1', 1), accepted('m1', 2), { kind: 'acked', user: 'bob', msgId: 'm9', sequence: 1 })
  t.strictSame(Object.keys(check(entries)), ['I1', 'I2'])
  t.strictSame(Object.keys(check(entries, BOUNDS, ['I2', 'I7'])), ['I2'])
})

t.test('gaps name each record that is missing', async (t) => {
  t.strictSame(gaps(ledger(group, opened('c1'), produced(1, 100), produced(2, 200), produced(3, 300), received('c1', 2, 400))), [{ key: 'ann phone', conn: 'c1', group: 'g', missing: [1, 3] }])
})
