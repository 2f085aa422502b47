import t from 'tap'
import { opened } from '../helpers/client-world.ts'

t.test('a message that is not answered goes again in the same session, with the same id', async (t) => {
  const { client, clock, network } = await opened({ answerTimeoutMs: 4_000 })
  const sent = client.send('bob', 'hi')
  await clock.run(3_999)
  t.equal(network.last.of('send_msg').length, 1)
  await clock.run(4_001)
  const frames = network.last.of('send_msg')
  t.equal(frames.length, 3)
  t.equal(new Set(frames.map((frame) => frame['msg_id'])).size, 1)
  const ack = { type: 'ack', msg_id: frames[0]?.['msg_id'], sequence_number: 1, timestamp: 1 }
  network.last.give(ack)
  network.last.give(ack)
  t.match(await sent, { sequenceNumber: 1 })
  await clock.run(60_000)
  t.equal(network.last.of('send_msg').length, 3)
})

t.test('errors in a row are answered with longer and longer pauses, and retry_after_ms is kept to', async (t) => {
  const { client, clock, network } = await opened()
  const refused = client.send('bob', 'hi').catch((error: unknown) => error)
  const pauses: number[] = []
  const refuse = async (fields: object): Promise<void> => {
    const frames = network.last.of('send_msg')
    network.last.give({ type: 'error', msg_id: frames[0]?.['msg_id'], error_code: 'SERVICE_UNAVAILABLE', error_message: 'away', retryable: true, timestamp: 1, ...fields })
    const before = clock.monotonicMs()
    while (network.last.of('send_msg').length === frames.length) await clock.run(10)
    pauses.push(clock.monotonicMs() - before)
  }
  for (let i = 0; i < 5; i++) await refuse({})
  await refuse({ retry_after_ms: 40 })
  t.strictSame(pauses, [750, 1_500, 3_000, 6_000, 6_000, 40])
  await clock.run(60_000)
  t.match(await refused, { name: 'SendTimeoutError', code: 'TIMEOUT' })
})
