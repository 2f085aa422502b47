/**
 * Tables of cases against the public port of a whole node: bytes in, and all that comes back until the end of TCP. A
 * case that leaves the connection open goes on to a last message and a close of the client, so that nothing can come
 * unseen; one that ends it has a ping and a message behind it, in the same write, which nobody may answer.
 */
import { connect } from 'node:net'
import type { Test } from 'tap'
import { ERRORS, type ErrorCode } from '../../src/errors.ts'
import { startApp, tokenFor, type TestApp } from './app.ts'
import { closePayload, frame, OP, serverFrame } from './frames.ts'

export interface FrameCase {
  /** The number of the case in the Autobahn test suite where it has one, with what varies behind it. */
  readonly id: string
  readonly name: string
  /** Each is one write; the next leaves a turn of the loop later. */
  readonly write: Buffer | readonly Buffer[]
  /** What the node says, as `FrameClient` spells it. The last one a close: it ends the connection. */
  readonly answers: readonly string[]
  /** What the IM Service is given; default: nothing. */
  readonly contents?: readonly string[]
  /** The node waits for our close frame. */
  readonly answersClose?: boolean
}

interface Outcome { readonly said: readonly string[], readonly contents: readonly string[] }
interface Run { readonly user: string, readonly said: readonly string[] }

const ACCEPTED_AT = 1_700_000_000_000
const DEADLINE_MS = 15_000
const CONCURRENCY = 32
const NAMES: Readonly<Record<number, string>> = { [OP.continuation]: 'continuation', [OP.text]: 'text', [OP.binary]: 'binary', [OP.ping]: 'ping with a payload' }
/** The answer of RFC 6455 section 1.3 to its example key. */
const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n'

/** A `send_msg` with this content. */
export function message (content: string, msgId = 'm1'): string {
  return JSON.stringify({ type: 'send_msg', msg_id: msgId, recipient: 'bob', content, timestamp: 1 })
}

/** A `send_msg` of so many bytes in all; its content with it. */
export function messageOf (bytes: number): { readonly text: string, readonly content: string } {
  const content = 'x'.repeat(bytes - message('').length)
  return { text: message(content), content }
}

/** The answer to a message that the IM Service took as the `sequenceNumber`-th of this client. */
export function ack (msgId = 'm1', sequenceNumber = 1): string {
  return `text {"type":"ack","msg_id":"${msgId}","sequence_number":${sequenceNumber},"timestamp":${ACCEPTED_AT}}`
}

export function error (code: ErrorCode): string {
  return `text ${JSON.stringify({ type: 'error', error_code: code, error_message: ERRORS[code].text, retryable: ERRORS[code].retryable, timestamp: 0 })}`
}

export function pong (payload: string | Buffer = ''): string {
  return `pong ${Buffer.from(payload as string).toString('hex')}`
}

/** What breaks the protocol: the code alone, and no wait for an answer. */
export function closed (code: number): string[] {
  return [`close ${code} `]
}

class FrameClient {
  /** `text TEXT` with the time of an error as 0, `pong HEX`, `close CODE REASON`, then `end`, or `reset`. */
  readonly said: string[] = []
  readonly #socket
  readonly #answersClose: boolean
  #rest = Buffer.alloc(0)
  #isUpgraded = false
  #changed = (): void => {}

  constructor (port: number, userId: string, headers: string, first: Buffer, answersClose: boolean) {
    this.#answersClose = answersClose
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
      .on('data', (data) => {
        this.#rest = Buffer.concat([this.#rest, data])
        this.#read()
      })
      .on('end', () => { this.#say('end') })
      .on('error', () => { this.#say('reset') })
    const request = `GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\nAuthorization: Bearer ${tokenFor(userId)}\r\n${headers}\r\n`
    this.#socket.write(Buffer.concat([Buffer.from(request), first]))
  }

  get isEnded (): boolean { return this.said.some((line) => line === 'end' || line === 'reset' || line.startsWith('late')) }

  /** Until so many frames have come, or there will be no more. */
  async frames (count: number): Promise<void> {
    const timer = setTimeout(() => { this.#say(`late: no more within ${DEADLINE_MS} ms`) }, DEADLINE_MS)
    while (this.said.length < count && !this.isEnded) await new Promise<void>((resolve) => { this.#changed = resolve })
    clearTimeout(timer)
  }

  async write (chunks: readonly Buffer[]): Promise<void> {
    for (const chunk of chunks) {
      if (this.isEnded) return
      this.#socket.write(chunk)
      if (chunks.length > 1) await new Promise((resolve) => setImmediate(resolve))
    }
  }

  destroy (): void { this.#socket.destroy() }

  #say (line: string): void {
    this.said.push(line)
    this.#changed()
  }

  #read (): void {
    if (!this.#isUpgraded) {
      const end = this.#rest.indexOf('\r\n\r\n')
      if (end === -1) return
      this.#isUpgraded = true
      const head = this.#rest.toString('latin1', 0, end + 4)
      this.#rest = this.#rest.subarray(end + 4)
      this.#say(head === SWITCHING ? 'upgraded' : head)
    }
    while (this.#rest.length >= 2) {
      const short = (this.#rest[1] as number) & 127
      const headBytes = short < 126 ? 2 : short === 126 ? 4 : 10
      if (this.#rest.length < headBytes) return
      const length = short < 126 ? short : short === 126 ? this.#rest.readUInt16BE(2) : Number(this.#rest.readBigUInt64BE(2))
      if (this.#rest.length < headBytes + length) return
      const bytes = this.#rest.subarray(0, headBytes + length)
      this.#rest = this.#rest.subarray(bytes.length)
      this.#frame(bytes, bytes.subarray(headBytes))
    }
  }

  #frame (bytes: Buffer, payload: Buffer): void {
    const opcode = (bytes[0] as number) & 15
    // Masked, a reserved bit, a fragment, a length in more bytes than it needs: none of it is a server's.
    // Its heartbeat comes at any time.
    if (bytes.equals(serverFrame(OP.ping, ''))) return
    if (!bytes.equals(serverFrame(opcode, payload))) this.#say(`malformed ${bytes.toString('hex')}`)
    else if (opcode === OP.pong) this.#say(pong(payload))
    else if (opcode === OP.close) {
      if (this.#answersClose) this.#socket.write(frame(OP.close, payload))
      this.#say(payload.length === 0 ? 'close' : `close ${payload.readUInt16BE()} ${payload.toString('utf8', 2)}`)
    } else {
      const text = payload.toString()
      this.#say(`${NAMES[opcode] ?? opcode} ${text.startsWith('{"type":"error"') ? text.replace(/"timestamp":\d{13}/, '"timestamp":0') : text.replace(/^\{"type":"welcome".*/, 'welcome')}`)
    }
  }
}

/** A node that the tables of one file share, and a client who is served all the time. */
export class FrameNode {
  readonly #node: TestApp
  readonly #neighbour: Awaited<ReturnType<TestApp['connect']>>
  #users = 0
  #neighbourMessages = 0

  private constructor (node: TestApp, neighbour: Awaited<ReturnType<TestApp['connect']>>) {
    this.#node = node
    this.#neighbour = neighbour
  }

  static async start (t: Test): Promise<FrameNode> {
    // Limits that belong to other tests are out of the way; what closes late is not mistaken for what closes.
    const node = await startApp(t, { MAX_MESSAGES_PER_SECOND: '1000', HANDSHAKES_PER_IP: '0', CLOSE_TIMEOUT: '30s' })
    return new FrameNode(node, await node.connect('neighbour'))
  }

  /** A test for each case, and one of the neighbour. The cases run at once, some at a time. */
  group (t: Test, name: string, cases: readonly FrameCase[]): void {
    t.test(name, async (t) => {
      const runs = await this.#runAll(cases)
      t.test('a neighbour is served as before', async (t) => {
        t.match(await this.#neighbour.send('carol', name), { sequenceNumber: ++this.#neighbourMessages })
      })
      for (const [at, each] of cases.entries()) {
        t.test(`${each.id} ${each.name}`, async (t) => { t.strictSame(await this.#outcome(runs[at] as Run, each), expected(each)) })
      }
    })
  }

  /** One case; `headers` and `first` travel with the request for the upgrade. */
  async run (each: FrameCase, headers: string, first?: Buffer): Promise<Outcome> {
    return await this.#outcome(await this.#run(each, headers, first), each)
  }

  async #runAll (cases: readonly FrameCase[]): Promise<Run[]> {
    const runs: Run[] = []
    const queue = [...cases.entries()]
    await Promise.all(Array.from({ length: CONCURRENCY }, async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) runs[next[0]] = await this.#run(next[1])
    }))
    return runs
  }

  /** What a client sent outlives its connection: the IM Service may have it later than the client its close. */
  async #outcome ({ user, said }: Run, each: FrameCase): Promise<Outcome> {
    const wanted = expected(each).contents.length
    const contents = (): string[] => this.#node.services.im.requests.flatMap(({ message }) => message.senderId === user ? [message.content] : [])
    const until = performance.now() + DEADLINE_MS
    while (contents().length < wanted && performance.now() < until) await new Promise((resolve) => setImmediate(resolve))
    return { said, contents: contents() }
  }

  async #run ({ write, answers, answersClose = false }: FrameCase, headers = '', first: Buffer = Buffer.alloc(0)): Promise<Run> {
    const user = `user-${++this.#users}`
    const client = new FrameClient(this.#node.port, user, headers, first, answersClose)
    await client.frames(2)
    const chunks = Buffer.isBuffer(write) ? [write] : [...write]
    if (isEnding(answers)) {
      chunks.push(Buffer.concat([chunks.pop() ?? Buffer.alloc(0), frame(OP.ping, 'after'), frame(OP.text, message('after', 'after'))]))
      await client.write(chunks)
    } else {
      await client.write(chunks)
      await client.frames(2 + answers.length)
      await client.write([frame(OP.text, message('last', 'last'))])
      await client.frames(3 + answers.length)
      await client.write([frame(OP.close, closePayload(1000, 'bye'))])
    }
    await client.frames(Infinity)
    client.destroy()
    return { user, said: client.said }
  }
}

function isEnding (answers: readonly string[]): boolean {
  return answers.at(-1)?.startsWith('close') === true
}

export function expected ({ answers, contents = [] }: FrameCase): Outcome {
  const last = isEnding(answers) ? [] : [ack('last', contents.length + 1), 'close 1000 bye']
  return {
    said: ['upgraded', 'text welcome', ...answers, ...last, 'end'],
    contents: last.length > 0 ? [...contents, 'last'] : contents
  }
}
