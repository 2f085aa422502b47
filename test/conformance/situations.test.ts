/** What is judged, by a client that keeps to it in its own slow way, and one that is wrong in a single thing. */
import { join } from 'node:path'
import t from 'tap'
import { checkClient } from '../../conformance/run.ts'

const CLIENT = join(import.meta.dirname, '../helpers/faulty-client.mjs')

t.setTimeout(120_000)

/** What it does not keep, of what is asked for, and why. */
async function broken (only: readonly string[], ...fault: string[]): Promise<string[]> {
  const verdicts = await checkClient({ command: [process.execPath, CLIENT, ...fault], only, jobs: 6 })
  return verdicts.filter(({ kept }) => !kept).map(({ id, detail = '' }) => `${id}: ${detail}`)
}

const FAULTS = [
  ['ends after a shutdown', 'C-END-1012', /the client ended with 1/],
  ['comes back with a token of its own', 'C-END-1013', /the client ended with 1/],
  ['comes back after 5 s', 'C-END-4409', /it connected again after 5\d{3} ms/],
  ['never stops the timer of an answer', 'C-SND-5', /it came after \d+ ms instead of 1500/],
  ['never stops the timer of an answer', 'C-SND-6', /it was sent again/],
  ['knows its own messages by their acks', 'C-RCV-8', /as it overtook the ack/]
] as const

// Side by side: they wait most of the time.
const slow = broken(['C-SND-4', 'C-SND-5', 'C-SND-6', 'C-RCV-1', 'C-RCV-2', 'C-RCV-3', 'C-RCV-8', 'C-END-1012', 'C-END-1013', 'C-END-4409', 'C-REC-1'])
const faulty = FAULTS.map(async ([fault, id]) => await broken([id], fault))

t.test('who collects its acks, and waits longer than it has to, keeps to everything', async (t) => {
  t.strictSame(await slow, [])
})

for (const [n, [fault, id, words]] of FAULTS.entries()) {
  t.test(`who ${fault} does not keep ${id}`, async (t) => {
    t.match(await faulty[n], [words])
  })
}

// Alone: its pauses are measured.
t.test('who backs off without jitter does not keep C-REC-1, as another process has the same pauses', async (t) => {
  t.match(await broken(['C-REC-1'], 'backs off without jitter'), [/the pauses were .*, and those of another process/])
})
