import t from 'tap'
import { Verdict } from '../../rehearse/checks.ts'
import { Ledger, PUSH_MS } from '../../rehearse/ledger.ts'

function world () {
  const verdict = new Verdict()
  const ledger = new Ledger(verdict)
  return {
    verdict,
    ledger,
    accept: (n: number, atMs: number) => {
      ledger.sent(`m${n}`, 'ann', 'bob', 'hi', atMs)
      ledger.acceptedAs(`m${n}`, n, atMs + 1)
    },
    receive: (n: number, connection: object, atMs: number) => { ledger.received('bob', connection, { msgId: `m${n}`, sender: 'ann', recipient: 'bob', content: 'hi', sequenceNumber: n }, atMs) },
    broken: () => verdict.results().filter(({ state }) => state === 'broken').map(({ check }) => check)
  }
}

t.test('a message that was accepted and never came is missed only where its recipient was there', async (t) => {
  const { ledger, verdict, accept, receive } = world()
  const connection = {}
  accept(1, 0)
  receive(1, connection, 10)
  accept(2, 100)
  t.equal(ledger.missing, 1)
  accept(3, 1_000)
  ledger.left('bob', 1_001 + PUSH_MS)
  t.equal(ledger.missing, 1, 'it left while the push was on its way')
  ledger.came('bob', 20_000)
  accept(4, 20_001)
  ledger.left('bob', 30_000)
  t.equal(ledger.missing, 2, 'it was back before the message')
  t.equal(ledger.accepted, 4)
  t.equal(ledger.settle(new Verdict()), 10)
  t.match(verdict.results().find(({ check }) => check === 'delivered'), { tried: 3, broken: 2, examples: ['m2, number 2, never came to bob', 'm4, number 4, never came to bob'] })
  t.equal(ledger.missedWhileAway, 1)
  t.equal(ledger.accepted, 0, 'it goes on with nothing')
  t.equal(ledger.settle(new Verdict()), undefined)
})

t.test('a message without an answer may come or not', async (t) => {
  const { ledger, receive, broken } = world()
  ledger.sent('m1', 'ann', 'bob', 'hi', 0)
  ledger.sent('m2', 'ann', 'bob', 'hi', 0)
  receive(2, {}, 1)
  ledger.settle(new Verdict())
  t.strictSame(broken(), [])
})

t.test('a repeat is a fault on the connection that had it, and only while no node goes', async (t) => {
  const { ledger, accept, receive, broken } = world()
  const [first, second] = [{}, {}]
  accept(1, 0)
  receive(1, first, 1)
  receive(1, second, 2)
  ledger.mayRepeat = true
  receive(1, first, 3)
  ledger.shown('m1')
  t.strictSame(broken(), [])
  t.equal(ledger.repeats, 2)
  ledger.mayRepeat = false
  receive(1, first, 4)
  t.strictSame(broken(), ['once'])
})

t.test('the application sees a message once', async (t) => {
  const { ledger, accept, broken } = world()
  accept(1, 0)
  ledger.shown('m1')
  ledger.shown('of somebody else')
  t.strictSame(broken(), [])
  ledger.shown('m1')
  t.strictSame(broken(), ['once'])
})

t.test('the order is that of the numbers on each connection; what was tried again after an absence may be late', async (t) => {
  const { ledger, accept, receive, broken } = world()
  for (const n of [1, 2, 3]) accept(n, n)
  receive(2, {}, 10)
  const connection = {}
  receive(1, connection, 11)
  t.strictSame(broken(), [], 'another connection')
  receive(3, connection, 12)
  ledger.left('bob', 20)
  ledger.came('bob', 30)
  accept(4, 25)
  accept(5, 40_000)
  receive(5, connection, 40_001)
  receive(4, connection, 40_002)
  t.strictSame(broken(), [])
  accept(6, 50_000)
  accept(7, 50_001)
  receive(7, connection, 50_002)
  receive(6, connection, 50_003)
  t.strictSame(broken(), ['order'])
})

t.test('a message that comes before its acknowledgement has to have the same number', async (t) => {
  const { ledger, receive, broken } = world()
  ledger.sent('m1', 'ann', 'bob', 'hi', 0)
  receive(1, {}, 1)
  ledger.acceptedAs('m1', 1, 2)
  t.strictSame(broken(), [])
  ledger.acceptedAs('m1', 2, 3)
  t.strictSame(broken(), ['intact'])
})
