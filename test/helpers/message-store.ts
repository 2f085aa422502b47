/** What every message store of the demo has to do. */
import fc from 'fast-check'
import type { Test } from 'tap'
import { conversationOf, type MessageStore, type NewMessage } from '../../demo/stores/message-store.ts'

/** `run` sets the names apart from those of other runs on the same database. */
export async function messageStoreSuite (t: Test, store: MessageStore, run: string): Promise<void> {
  const message = (msgId: string, senderId: string, recipientId: string, more: Partial<NewMessage> = {}): NewMessage => ({
    conversation: conversationOf(senderId, recipientId, false),
    isGroup: false,
    msgId,
    senderId,
    senderDeviceId: 'phone',
    recipientId,
    content: 'hi',
    messageType: 'text',
    metadata: {},
    ...more
  })

  await t.test('a message comes back as it was given, whatever its ids and content are made of', async (t) => {
    // An id may be drawn twice, above all while a failure is shrunk; a sender of a run of its own is met once.
    let runs = 0
    await fc.assert(fc.asyncProperty(
      fc.string({ minLength: 1, maxLength: 100, unit: 'grapheme' }).filter((id) => Buffer.byteLength(id) <= 480),
      fc.string({ maxLength: 200, unit: 'grapheme' }),
      fc.dictionary(fc.string({ minLength: 1, unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), { noNullPrototype: true, maxKeys: 5 }),
      async (id, content, metadata) => {
        const sender = `${run}-${++runs}-${id}`
        const given = message('m:1.a_b-C', sender, `${sender} `, { content, metadata })
        const stored = await store.accept(given, 1_700_000_000_123)
        t.strictSame(stored, { ...given, sequenceNumber: 1n, acceptedAtMs: 1_700_000_000_123, status: 'accepted' })
        t.strictSame(await store.find(given.senderId, given.msgId), stored)
        t.strictSame(await store.history(given.conversation, 0n, 10), [stored])
        await store.setStatus(given.senderId, given.msgId, 'delivered')
      }), { numRuns: 30 })
  })

  await t.test('names that differ in case or in trailing space alone are different', async (t) => {
    const [a, b] = [`${run}Ann`, `${run}ann`]
    t.equal((await store.accept(message('1', a, 'x'), 1)).sequenceNumber, 1n)
    t.equal((await store.accept(message('1', b, 'x'), 1)).sequenceNumber, 1n)
    t.equal((await store.accept(message('1', `${b} `, 'x'), 1)).sequenceNumber, 1n)
    t.equal((await store.accept(message('A', a, 'x'), 1)).sequenceNumber, 2n)
    t.equal((await store.accept(message('a', a, 'x'), 1)).sequenceNumber, 3n)
  })

  await t.test('many writers at once get each number once and repeats their first one', async (t) => {
    const [a, b] = [`${run}-w1`, `${run}-w2`]
    const ids = Array.from({ length: 30 }, (_, i) => `m${i}`)
    const calls = [...ids, ...ids].flatMap((msgId) => [message(msgId, a, b), message(msgId, b, a)])
    const stored = await Promise.all(calls.map((call) => store.accept(call, 1)))
    const numbers = new Map<string, bigint>()
    for (const { senderId, msgId, sequenceNumber } of stored) {
      const key = `${senderId} ${msgId}`
      t.equal(numbers.get(key) ?? sequenceNumber, sequenceNumber)
      numbers.set(key, sequenceNumber)
    }
    t.strictSame([...numbers.values()].sort((x, y) => Number(x - y)), Array.from({ length: 60 }, (_, i) => BigInt(i + 1)))
    t.equal((await store.history(conversationOf(a, b, false), 0n, 100)).length, 60)
  })

  await t.test('a repeat under another conversation finds the first message and leaves no gap behind', async (t) => {
    const [a, b, c] = [`${run}-a`, `${run}-b`, `${run}-c`]
    const calls = await Promise.all([b, c, b, c].map((recipient) => store.accept(message('1', a, recipient), 1)))
    t.equal(new Set(calls.map(({ conversation }) => conversation)).size, 1)
    t.strictSame(calls.map(({ sequenceNumber }) => sequenceNumber), [1n, 1n, 1n, 1n])
    const loser = calls[0]?.recipientId === b ? c : b
    t.equal((await store.accept(message('2', a, loser), 1)).sequenceNumber, 1n)
  })

  await t.test('history is read in pages by number', async (t) => {
    const [a, b] = [`${run}-h1`, `${run}-h2`]
    for (let i = 1; i <= 12; i++) await store.accept(message(`m${i}`, a, b), i)
    const page = async (after: bigint, limit: number) => (await store.history(conversationOf(a, b, false), after, limit)).map(({ sequenceNumber }) => Number(sequenceNumber))
    t.strictSame(await page(0n, 5), [1, 2, 3, 4, 5])
    t.strictSame(await page(9n, 5), [10, 11, 12])
    t.strictSame(await page(12n, 5), [])
    t.strictSame(await store.history(`${run}-nowhere`, 0n, 5), [])
    t.equal(await store.find(a, 'm13'), undefined)
  })

  await t.test('what is accepted and nothing more is unfinished, oldest first', async (t) => {
    const [a, b] = [`${run}-u1`, `${run}-u2`]
    for (let i = 1; i <= 4; i++) await store.accept(message(`m${i}`, a, b), i)
    await store.setStatus(a, 'm2', 'offline')
    const open = async () => (await store.unfinished(10_000)).filter(({ senderId }) => senderId === a).map(({ msgId }) => msgId)
    t.strictSame(await open(), ['m1', 'm3', 'm4'])
    t.match(await store.find(a, 'm2'), { status: 'offline' })
    await store.setStatus(a, 'nothing', 'offline')
    t.equal((await store.unfinished(2)).length, 2)
  })
}
