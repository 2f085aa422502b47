/**
 * Messages in MySQL (or MariaDB). A message is committed before anybody is told of it; a conversation's row is its lock,
 * so numbers rise by exactly one whoever writes.
 */
import { createPool, type Pool, type PoolConnection, type RowDataPacket } from 'mysql2/promise'
import type { MessageStatus, MessageStore, NewMessage, StoredMessage } from './message-store.ts'

/** Ids are kept as bytes: a collation would take `Ann` for `ann`, or pad with spaces. */
const SCHEMA = [
  `CREATE TABLE IF NOT EXISTS demo_conversations (
    id VARBINARY(1025) NOT NULL,
    last_sequence BIGINT NOT NULL,
    PRIMARY KEY (id)
  ) ENGINE = InnoDB`,
  `CREATE TABLE IF NOT EXISTS demo_messages (
    conversation VARBINARY(1025) NOT NULL,
    sequence_number BIGINT NOT NULL,
    sender_id VARBINARY(512) NOT NULL,
    msg_id VARBINARY(64) NOT NULL,
    sender_device_id VARBINARY(64) NOT NULL,
    recipient_id VARBINARY(512) NOT NULL,
    is_group BOOLEAN NOT NULL,
    content MEDIUMBLOB NOT NULL,
    message_type VARBINARY(16) NOT NULL,
    metadata MEDIUMBLOB NOT NULL,
    accepted_at_ms BIGINT NOT NULL,
    status VARBINARY(16) NOT NULL,
    PRIMARY KEY (conversation, sequence_number),
    UNIQUE KEY once (sender_id, msg_id),
    KEY unfinished (status, accepted_at_ms)
  ) ENGINE = InnoDB`
]
const COLUMNS = 'conversation, sequence_number, sender_id, msg_id, sender_device_id, recipient_id, is_group, content, message_type, metadata, accepted_at_ms, status'
const CONNECTIONS = 8
const MAX_QUEUED = 10_000
const CONNECT_TIMEOUT_MS = 5_000
const QUERY_TIMEOUT_MS = 5_000
const ATTEMPTS = 5

type Row = RowDataPacket & Readonly<Record<string, unknown>>

export class MysqlMessageStore implements MessageStore {
  readonly #pool: Pool

  private constructor (pool: Pool) {
    this.#pool = pool
  }

  /** Connects and creates the tables where they are missing; rejects where the server does not answer. */
  static async open (url: string): Promise<MysqlMessageStore> {
    const pool = createPool({
      uri: url,
      connectionLimit: CONNECTIONS,
      queueLimit: MAX_QUEUED,
      connectTimeout: CONNECT_TIMEOUT_MS,
      // A BIGINT does not fit a JavaScript number.
      supportBigNumbers: true,
      bigNumberStrings: true
    })
    try {
      for (const statement of SCHEMA) await pool.query(statement)
    } catch (error) {
      await pool.end()
      throw error
    }
    return new MysqlMessageStore(pool)
  }

  async accept (message: NewMessage, nowMs: number): Promise<StoredMessage> {
    for (let attempt = 1; ; attempt++) {
      const known = await this.find(message.senderId, message.msgId)
      if (known !== undefined) return known
      try {
        return await this.#insert(message, nowMs)
      } catch (error) {
        // A repeat that was quicker, or two transactions in each other's way: what holds is in the table now.
        if (attempt === ATTEMPTS || !isRace(error)) throw error
      }
    }
  }

  async setStatus (senderId: string, msgId: string, status: MessageStatus): Promise<void> {
    await run(this.#pool, 'UPDATE demo_messages SET status = ? WHERE sender_id = ? AND msg_id = ?', [status, bytes(senderId), msgId])
  }

  async find (senderId: string, msgId: string): Promise<StoredMessage | undefined> {
    const rows = await select(this.#pool, `SELECT ${COLUMNS} FROM demo_messages WHERE sender_id = ? AND msg_id = ?`, [bytes(senderId), msgId])
    return rows.map(messageOf)[0]
  }

  async history (conversation: string, after: bigint, limit: number): Promise<readonly StoredMessage[]> {
    const rows = await select(this.#pool,
      `SELECT ${COLUMNS} FROM demo_messages WHERE conversation = ? AND sequence_number > ? ORDER BY sequence_number LIMIT ?`,
      [bytes(conversation), String(after), String(limit)])
    return rows.map(messageOf)
  }

  async unfinished (limit: number): Promise<readonly StoredMessage[]> {
    const rows = await select(this.#pool,
      `SELECT ${COLUMNS} FROM demo_messages WHERE status = 'accepted' ORDER BY accepted_at_ms, sequence_number LIMIT ?`, [String(limit)])
    return rows.map(messageOf)
  }

  async close (): Promise<void> {
    await this.#pool.end()
  }

  async #insert (message: NewMessage, nowMs: number): Promise<StoredMessage> {
    const connection = await this.#pool.getConnection()
    try {
      await connection.beginTransaction()
      const stored: StoredMessage = { ...message, sequenceNumber: await nextNumber(connection, message.conversation), acceptedAtMs: nowMs, status: 'accepted' }
      await run(connection, `INSERT INTO demo_messages (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, rowOf(stored))
      await connection.commit()
      connection.release()
      return stored
    } catch (error) {
      // A connection whose transaction did not end cleanly is not given to the next one.
      await connection.rollback().then(() => { connection.release() }, () => { connection.destroy() })
      throw error
    }
  }
}

/** Takes the conversation's next number; its row stays locked until the transaction ends. */
async function nextNumber (connection: PoolConnection, conversation: string): Promise<bigint> {
  await run(connection, 'INSERT INTO demo_conversations (id, last_sequence) VALUES (?, 1) ON DUPLICATE KEY UPDATE last_sequence = last_sequence + 1', [bytes(conversation)])
  const [row] = await select(connection, 'SELECT last_sequence FROM demo_conversations WHERE id = ?', [bytes(conversation)])
  return BigInt(String(row?.['last_sequence']))
}

type Value = string | Buffer | boolean

async function run (target: Pool | PoolConnection, sql: string, values: Value[]): Promise<void> {
  await target.execute({ sql, timeout: QUERY_TIMEOUT_MS }, values)
}

async function select (target: Pool | PoolConnection, sql: string, values: Value[]): Promise<Row[]> {
  const [rows] = await target.execute<Row[]>({ sql, timeout: QUERY_TIMEOUT_MS }, values)
  return rows
}

function rowOf (message: StoredMessage): Value[] {
  return [
    bytes(message.conversation), String(message.sequenceNumber), bytes(message.senderId), message.msgId, message.senderDeviceId,
    bytes(message.recipientId), message.isGroup, bytes(message.content), message.messageType, bytes(JSON.stringify(message.metadata)),
    String(message.acceptedAtMs), message.status
  ]
}

function messageOf (row: Row): StoredMessage {
  return {
    conversation: String(row['conversation']),
    sequenceNumber: BigInt(String(row['sequence_number'])),
    senderId: String(row['sender_id']),
    msgId: String(row['msg_id']),
    senderDeviceId: String(row['sender_device_id']),
    recipientId: String(row['recipient_id']),
    isGroup: row['is_group'] === 1,
    content: String(row['content']),
    messageType: String(row['message_type']),
    metadata: JSON.parse(String(row['metadata'])) as Readonly<Record<string, string>>,
    acceptedAtMs: Number(row['accepted_at_ms']),
    status: String(row['status']) as MessageStatus
  }
}

function bytes (text: string): Buffer {
  return Buffer.from(text)
}

function isRace (error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ER_DUP_ENTRY' || code === 'ER_LOCK_DEADLOCK' || code === 'ER_LOCK_WAIT_TIMEOUT'
}
