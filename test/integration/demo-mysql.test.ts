import { randomBytes } from 'node:crypto'
import { createPool } from 'mysql2/promise'
import t from 'tap'
import { MysqlMessageStore } from '../../demo/stores/mysql-message-store.ts'
import { conversationOf } from '../../demo/stores/message-store.ts'
import { messageStoreSuite } from '../helpers/message-store.ts'

const url = process.env['MYSQL_URL']
if (url === undefined) throw new Error('MYSQL_URL is needed')
const run = randomBytes(6).toString('hex')
const store = await MysqlMessageStore.open(url)
t.teardown(() => store.close())

await messageStoreSuite(t, store, run)

t.test('opening again finds the tables and what is in them; two processes share the numbers', async (t) => {
  const other = await MysqlMessageStore.open(url)
  t.teardown(() => other.close())
  const message = (msgId: string) => ({
    conversation: `group_${run}`, isGroup: true, msgId, senderId: run, senderDeviceId: '', recipientId: `group_${run}`, content: '', messageType: 'text', metadata: {}
  })
  const stored = await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? store : other).accept(message(`m${i}`), 1)))
  t.strictSame(stored.map(({ sequenceNumber }) => Number(sequenceNumber)).sort((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i + 1))
  t.strictSame(await store.history(`group_${run}`, 0n, 50), await other.history(`group_${run}`, 0n, 50))
})

t.test('numbers beyond 2^53 are kept to the last digit', async (t) => {
  const pool = createPool(url)
  const conversation = conversationOf(`${run}-big1`, `${run}-big2`, false)
  await pool.query('INSERT INTO demo_conversations (id, last_sequence) VALUES (?, ?)', [Buffer.from(conversation), '9007199254740992'])
  await pool.end()
  const message = {
    conversation, isGroup: false, msgId: '1', senderId: `${run}-big1`, senderDeviceId: '', recipientId: `${run}-big2`, content: '', messageType: 'text', metadata: {}
  }
  t.equal((await store.accept(message, 1)).sequenceNumber, 9_007_199_254_740_993n)
  t.match(await store.history(conversation, 9_007_199_254_740_992n, 5), [{ sequenceNumber: 9_007_199_254_740_993n }])
})

t.test('a server that is not there is an error at once', async (t) => {
  await t.rejects(MysqlMessageStore.open('mysql://root@127.0.0.1:1/im'))
})
