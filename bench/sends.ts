/** Messages a second and core through the whole node: WebSocket in, gRPC to the IM Service and back, ack out. */
import { performance } from 'node:perf_hooks'
import { BenchNode, countdown } from './world.ts'

const CLIENTS = 100
const WINDOW = 16
const MESSAGES = 60_000
const ROUNDS = 2

interface Result { readonly cpuUs: number, readonly perSecond: number }

/** Every client has so many messages on their way, each in a conversation of its own. */
async function measure (offersStream: boolean): Promise<Result> {
  const node = await BenchNode.start(({ im }) => { im.offersStream = offersStream })
  let sent = 0
  let next = (): boolean => false
  let all = countdown(0)
  const clients = await node.connect(CLIENTS, 0, (client) => {
    all.step()
    if (next()) client.send(message(sent))
  })
  const run = async (count: number): Promise<void> => {
    sent = 0
    all = countdown(count)
    next = () => sent < count && ++sent > 0
    for (const client of clients) for (let n = 0; n < WINDOW && next(); n++) client.send(message(sent))
    await all.done
    node.services.im.requests.length = 0
  }
  await run(MESSAGES / 4)
  const [before, startedAt] = [await node.usage(), performance.now()]
  await run(MESSAGES)
  const seconds = (performance.now() - startedAt) / 1000
  const after = await node.usage()
  await node.stop()
  return { cpuUs: (after.cpuUs - before.cpuUs) / MESSAGES, perSecond: MESSAGES / seconds }
}

let lastId = 0
function message (n: number): object {
  return { type: 'send_msg', msg_id: `m${++lastId}`, recipient: `r${n % 1_000}`, content: 'x'.repeat(100), timestamp: 1 }
}

for (let round = 1; round <= ROUNDS; round++) {
  const [stream, unary] = [await measure(true), await measure(false)]
  const text = (name: string, { cpuUs, perSecond }: Result): string => `${name} ${cpuUs.toFixed(1)} µs of CPU a message, ${Math.round(1e6 / cpuUs)} a second and core (${Math.round(perSecond)} a second here, services and clients on the same cores)`
  process.stdout.write(`round ${round}: ${text('RouteStream', stream)}; ${text('unary', unary)}; unary : stream ${(unary.cpuUs / stream.cpuUs).toFixed(2)}\n`)
}
process.exit()
