/** Bytes of an idle connection: what the node's process holds with many clients, less what it held without them. */
import { BenchNode } from './world.ts'

const STEP = 5_000
const STEPS = 3

const node = await BenchNode.start()
await node.connect(100, 1_000_000)
const before = await node.usage()
let connected = 0
for (let step = 0; step < STEPS; step++) {
  await node.connect(STEP, connected)
  connected += STEP
  const after = await node.usage()
  const per = (bytes: (usage: typeof after) => number): string => ((bytes(after) - bytes(before)) / connected / 1024).toFixed(2)
  process.stdout.write(`${connected} idle connections: ${per(({ heapBytes }) => heapBytes)} KB of heap each, ${per(({ externalBytes }) => externalBytes)} KB external, ${per(({ rssBytes }) => rssBytes)} KB of resident memory\n`)
}
await node.stop()
process.exit()
