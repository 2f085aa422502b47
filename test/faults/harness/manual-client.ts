/** One recorded socket that says nothing by itself: each acknowledgement is the row's own. */
import type { Test } from 'tap'
import { SUBPROTOCOL } from '../../../src/protocol/subprotocol.ts'
import { eventually } from '../../helpers/bus-conformance.ts'
import type { FaultWorld } from './fault-world.ts'
import { recordedSocket, type RecordedSocket } from './recorders.ts'

/** What came for a message that was sent. */
export interface SendAnswer { readonly type: 'ack' | 'error', readonly code: string, readonly tookMs: number }

const LOST = 1006

export class ManualClient {
  /** Ids of the messages that came, in order. */
  readonly messages: string[] = []
  /** Bytes of all frames that came. */
  receivedBytes = 0
  /** Of the socket; undefined while it is open. */
  closeCode: number | undefined
  readonly #world: FaultWorld
  readonly #socket: RecordedSocket
  readonly #answers = new Map<string, (type: 'ack' | 'error', code: string) => void>()
  #connectionId = ''

  private constructor (world: FaultWorld, socket: RecordedSocket) {
    this.#world = world
    this.#socket = socket
    socket.onmessage = ({ data }) => { this.#take(String(data)) }
    socket.onclose = ({ code }) => { this.closeCode = code }
  }

  /** Welcomed when it resolves; it ends with the test. */
  static async connect (t: Test, world: FaultWorld, user: string, url: string, patienceMs: number): Promise<ManualClient> {
    const Recorded = recordedSocket(world.ledger, user, 'phone')
    const socket = new Recorded(url, [SUBPROTOCOL, `bearer.${world.world.auth.mint(user, 'phone').accessToken}`])
    const client = new ManualClient(world, socket)
    world.closeAtEnd(t, client)
    await eventually(() => client.#connectionId !== '', patienceMs)
    return client
  }

  async received (msgId: string, patienceMs: number): Promise<void> {
    await eventually(() => this.messages.includes(msgId), patienceMs)
  }

  acknowledge (msgId: string): void {
    this.#socket.send(JSON.stringify({ type: 'ack', msg_id: msgId }))
  }

  /** Resolves to the gateway's answer, however it is. */
  send (recipient: string, msgId: string): Promise<SendAnswer> {
    const startedMs = performance.now()
    return new Promise((resolve) => {
      this.#answers.set(msgId, (type, code) => { resolve({ type, code, tookMs: performance.now() - startedMs }) })
      this.#socket.send(JSON.stringify({ type: 'send_msg', msg_id: msgId, recipient, content: 'hi', timestamp: Date.now() }))
    })
  }

  /** Reads no more. */
  pause (): void { this.#socket.pause() }

  /** From here on nothing reaches the gateway, nor comes from it, whatever the socket believes. */
  vanished (): void {
    this.#world.ledger.say({ kind: 'closed', conn: this.#connectionId, code: LOST })
  }

  close (): void {
    this.#socket.resume()
    this.#socket.close(1000)
  }

  #take (text: string): void {
    this.receivedBytes += text.length
    const { type, msg_id: msgId = '', ...frame } = JSON.parse(text) as { type: string, msg_id?: string, connection_id?: string, error_code?: string }
    if (type === 'welcome') this.#connectionId = frame.connection_id ?? ''
    else if (type === 'message') this.messages.push(msgId)
    else if (type === 'ack' || type === 'error') this.#answers.get(msgId)?.(type, frame.error_code ?? '')
  }
}
