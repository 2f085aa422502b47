import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { WebSocketServer } from 'ws'
import { Load, type LoadStats } from '../../../bench/lib/load.ts'

const PROTOCOL = { path: '/', data: '"sequence_number":', send: '{"n":{s}}', reply: '"reply":' }
const MESSAGES = 40

type Answers = (n: number) => readonly number[]

/** Clients of a server that answers the n-th message with those replies, and sends those numbers as data first. */
async function statsOf (t: Test, { answers = (n) => [n], data = [] }: { answers?: Answers, data?: readonly number[] }): Promise<LoadStats> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  server.on('connection', (client) => {
    for (const number of data) client.send(`{"sequence_number":${number}}`)
    client.on('message', (text) => {
      for (const n of answers((JSON.parse(String(text)) as { n: number }).n)) client.send(`{"reply":${n}}`)
    })
  })
  const load = await Load.start({ port: (server.address() as AddressInfo).port, protocol: PROTOCOL, tokens: '/dev/null', sources: ['127.0.0.1'] })
  t.teardown(async () => {
    await load.stop()
    for (const client of server.clients) client.terminate()
    server.close()
  })
  await load.open(1)
  await load.awaitData(data.length, 1_000)
  await load.openLoop(MESSAGES * 10, 100)
  return await load.stats()
}

t.test('the clients count what is right', async (t) => {
  const { sent, replies, data, gaps, repeats, closed } = await statsOf(t, { data: [1, 2, 3] })
  t.ok(sent > 0)
  t.same({ replies, data, gaps, repeats, closed }, { replies: sent, data: 3, gaps: 0, repeats: 0, closed: 0 })
})

t.test('a reply that is missing is not made good by another that comes twice', async (t) => {
  const { sent, replies, repeats } = await statsOf(t, { answers: (n) => n === 3 ? [] : n === 4 ? [4, 4] : [n] })
  t.equal(replies, sent - 1)
  t.equal(repeats, 1)
})

t.test('data that is missing, doubled or out of order is seen', async (t) => {
  t.match(await statsOf(t, { data: [1, 2, 4] }), { data: 3, gaps: 1, repeats: 0 })
  t.match(await statsOf(t, { data: [1, 2, 2, 3] }), { data: 4, gaps: 0, repeats: 1 })
  t.match(await statsOf(t, { data: [1, 3, 2] }), { data: 3, gaps: 1, repeats: 1 })
})
