import t from 'tap'
import { Verdict } from '../../rehearse/checks.ts'
import { readOptions, type Options } from '../../rehearse/options.ts'
import { planText, reportText } from '../../rehearse/report.ts'
import type { Report } from '../../rehearse/rehearsal.ts'

t.test('the plan says what will be done, and with how much', async (t) => {
  const plan = (...args: string[]): string => planText(readOptions(['--url', 'ws://gateway.example/ws', '--token-command', 'mint', '--seed', '7', ...args], Math.random) as Options)
  t.equal(plan('--faults', 'storm,restart,slow-readers', '--connections', '100', '--rate', '50'), `Against ws://gateway.example/ws, as users rehearse-0 to rehearse-99 and some more:
  connect up to 100 clients in 4 steps, at most 8 a second
  send up to 50 messages a second between them, 30 s at each step
  keep a client that comes and goes and one that shows no life
  storm: cut all clients at once and let them come back
  restart: wait for you to restart the nodes
  slow-readers: write half a megabyte to each of 3 clients that stop reading
  end within 15 min; --seed 7
`)
  t.match(plan('--faults', 'restart', '--restart-command', 'roll out'), '  restart: run: roll out\n')
})

t.test('the report has a line for each promise, what was seen, the capacity and the outcome', async (t) => {
  const verdict = new Verdict()
  verdict.judge('delivered', true, () => '')
  verdict.judge('order', true, () => '')
  verdict.broken('order', 'm1 came after m2')
  const report: Report = {
    isFinished: true, isKept: false, capacity: { connections: 20, messagesPerSecond: 10 }, steps: [], checks: verdict.results(), accepted: 9, repeats: 1, missedWhileAway: 2, seen: { 1012: 3, OVERLOADED: 1 }
  }
  const text = reportText(report)
  t.match(text, 'kept: every acknowledged message reaches the recipient, unless the recipient was away (1)\n')
  t.match(text, 'broken: messages of one sender come in the order in which they were accepted (1 of 2)\n    m1 came after m2\n')
  t.match(text, 'not tried: pings come')
  t.match(text, `messages accepted: 9; repeated: 1; left to the history: 2
seen: 1012 × 3, OVERLOADED × 1
capacity: 20 connections and 10 messages/s were held
a promise was broken
`)
  t.match(reportText({ ...report, isKept: true, capacity: undefined, seen: {} }), `seen: no error, no close
capacity: none, the first step was not held
all promises that were tried were kept
`)
  t.match(reportText({ ...report, isFinished: false }), 'called off before the end\n')
})
