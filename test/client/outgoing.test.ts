import t from 'tap'
import type { SendError } from '../../client/src/index.ts'
import { opened } from '../helpers/client-world.ts'
import { settle } from '../helpers/manual-clock.ts'

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

t.test('what has no id that a gateway can name, or cannot be written, is refused at once and holds nothing up', async (t) => {
  const { client, network } = await opened()
  for (const msgId of ['', 'a b', 'x'.repeat(65), 'ä', 'a\n']) t.match(await client.send('bob', 'hi', { msgId }).catch((error: unknown) => error), { name: 'SendError', code: 'INVALID_MESSAGE', msgId }, JSON.stringify(msgId))
  const itself: Record<string, unknown> = {}
  itself['self'] = itself
  const refused = client.send('bob', 'hi', { metadata: itself as never })
  await t.rejects(refused, TypeError, 'a promise, never thrown at the caller')
  t.equal(client.waiting, 0)
  void client.send('bob', 'hi', { msgId: 'Az09._:-' })
  t.match(network.last.of('send_msg'), [{ msg_id: 'Az09._:-' }])
  t.equal(network.last.of('send_msg').length, 1)
})

t.test('of a long queue all that cannot pass is refused at once', async (t) => {
  const count = 20_000
  const { client, network } = await opened({ maxWaiting: count })
  network.last.end(1006)
  const outcomes = Array.from({ length: count }, (_, i) => client.send('bob', i < count / 2 ? 'x'.repeat(990) : 'hi').catch((error: unknown) => error))
  client.foreground()
  await settle()
  network.last.welcome()
  t.equal(client.waiting, count / 2, 'those that are too long do not wait for their turn')
  client.close()
  const codes = (await Promise.all(outcomes)).map((error) => (error as SendError).code)
  t.strictSame([codes[0], codes[count / 2 - 1], codes[count / 2], codes[count - 1]], ['CONTENT_TOO_LONG', 'CONTENT_TOO_LONG', 'CLIENT_ENDED', 'CLIENT_ENDED'])
})
