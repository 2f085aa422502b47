import fc from 'fast-check'
import t from 'tap'
import { ImClient, type Message } from '../../client/src/index.ts'
import { FakeNetwork } from '../helpers/fake-web-socket.ts'
import { ManualClock, settle } from '../helpers/manual-clock.ts'

const seed = process.env['FC_SEED']
const runs = { numRuns: 300, ...(seed !== undefined && { seed: Number(seed) }) }

const LENGTH = 12
const id = (n: number): string => `m${n}`
const isOwn = (n: number): boolean => n % 5 === 0

type Step =
  | { readonly kind: 'push', readonly n: number }
  | { readonly kind: 'break', readonly code: number }
  | { readonly kind: 'wait', readonly ms: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('push' as const), n: fc.integer({ min: 2, max: LENGTH }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('break' as const), code: fc.constantFrom(1006, 1012, 4000, 4001, 4401) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 3_000 }) }) }
)

t.test('whatever is lost, repeated, overtaken or cut off, each message is shown once and in order', async (t) => {
  await fc.assert(fc.asyncProperty(fc.scheduler(), fc.array(step, { maxLength: 40 }), fc.array(fc.boolean(), { maxLength: 10 }), async (scheduler, steps, failures) => {
    const [clock, network] = [new ManualClock(), new FakeNetwork()]
    const shown: number[] = []
    let reads = 0
    /** What was sent so far: the history never knows more. */
    let newest = 1
    const page = (after: number): Message[] => Array.from({ length: newest }, (_, i) => i + 1).filter((n) => n > after).slice(0, 4)
      .map((n) => ({ msgId: id(n), sender: isOwn(n) ? 'ann' : 'bob', recipient: isOwn(n) ? 'bob' : 'ann', content: '', messageType: 'text', metadata: {}, timestamp: 0, sequenceNumber: n }))
    const client = new ImClient({
      url: 'wss://g/ws',
      token: () => 't',
      WebSocket: network.WebSocket,
      clock,
      random: () => 0.5,
      onMessage: ({ sequenceNumber }) => { shown.push(sequenceNumber) },
      history: (_conversation, after) => {
        // Four in a row are given up and told as a gap.
        const fails = failures[reads] === true && reads % 4 !== 3
        reads++
        return scheduler.schedule(Promise.resolve(), 'history').then(() => {
          if (fails) throw new Error('away')
          return page(after)
        })
      }
    })
    client.start()
    const push = (n: number): void => {
      newest = Math.max(newest, n)
      network.last.give({ type: 'message', msg_id: id(n), sender: isOwn(n) ? 'ann' : 'bob', recipient: isOwn(n) ? 'bob' : 'ann', content: '', timestamp: 0, sequence_number: n })
    }
    const reopen = async (): Promise<void> => {
      while (client.state !== 'connecting') {
        await clock.run(1_000)
        if (scheduler.count() > 0) await scheduler.waitOne()
      }
      network.last.welcome()
    }
    await settle()
    network.last.welcome()
    push(1)
    for (const each of steps) {
      if (each.kind === 'push') push(each.n)
      else if (each.kind === 'wait') {
        if (scheduler.count() > 0) await scheduler.waitOne()
        await clock.run(each.ms)
      } else {
        network.last.end(each.code)
        await reopen()
      }
    }
    newest = LENGTH
    network.last.end(1006)
    await reopen()
    for (let idle = 0; idle < 5; idle++) {
      await scheduler.waitAll()
      await clock.run(5_000)
      if (scheduler.count() > 0) idle = 0
    }
    client.close()
    return JSON.stringify(shown) === JSON.stringify(Array.from({ length: LENGTH }, (_, i) => i + 1))
  }), runs)
  t.pass()
})
