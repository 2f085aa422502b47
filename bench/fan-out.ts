/** CPU of the node per delivery of a group message to 5,000 members, beside a loop that makes and sends each frame anew. */
import { BenchNode, countdown } from './world.ts'

const MEMBERS = 5_000
const RECORDS = 60
const ROUNDS = 3
const GROUP = 'group_1'

const node = await BenchNode.start(({ users }) => { users.groups.set(GROUP, Array.from({ length: MEMBERS }, (_, n) => `u${n}`)) })
let step = (): void => {}
await node.connect(MEMBERS, 0, () => { step() })

interface Result { readonly us: number, readonly stallMs: number }

/** `send` is done when everybody has what it sent: so many times all members. */
async function measure (times: number, perTime: number, send: () => Promise<void>): Promise<Result> {
  const before = await node.usage()
  for (let time = 0; time < times; time++) {
    const all = countdown(perTime * MEMBERS)
    step = all.step
    await Promise.all([send(), all.done])
  }
  const after = await node.usage()
  return { us: (after.cpuUs - before.cpuUs) / (times * perTime * MEMBERS), stallMs: after.longestStallMs }
}

// The first record brings the member list in.
await measure(1, 1, () => node.groupMessages(GROUP, 1))
for (let round = 1; round <= ROUNDS; round++) {
  const alone = await measure(RECORDS, 1, () => node.groupMessages(GROUP, 1))
  const burst = await measure(1, RECORDS, () => node.groupMessages(GROUP, RECORDS))
  const naive = await measure(RECORDS, 1, () => node.naive(GROUP, 1))
  process.stdout.write(`round ${round}: one by one ${alone.us.toFixed(2)} µs of CPU a delivery, longest stall ${alone.stallMs.toFixed(1)} ms; ` +
    `in a burst ${burst.us.toFixed(2)} µs, ${burst.stallMs.toFixed(1)} ms; naive ${naive.us.toFixed(2)} µs, ${naive.stallMs.toFixed(1)} ms; ` +
    `naive : ours ${(naive.us / alone.us).toFixed(2)} one by one, ${(naive.us / burst.us).toFixed(2)} in a burst\n`)
}
await node.stop()
process.exit()
