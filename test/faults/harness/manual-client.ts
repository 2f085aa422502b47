/** One recorded socket that says nothing by itself: each acknowledgement is the row's own. */
import type { Test } from 'tap'
import type { Socket } from '../../../client/src/socket.ts'
import { SUBPROTOCOL } from '../../../src/protocol/subprotocol.ts'
import { eventually } from '../../helpers/bus-conformance.ts'
import type { FaultWorld } from './fault-world.ts'
import { recordedSocket } from './recorders.ts'

export class ManualClient {
  /** Ids of the messages that came, in order. */
  readonly messages: string[] = []
  readonly #socket: Socket
  #isWelcomed = false

  private constructor (socket: Socket) {
    this.#socket = socket
    socket.onmessage = ({ data }) => {
      const { type, msg_id: msgId } = JSON.parse(String(data)) as { type: string, msg_id?: string }
      if (type === 'welcome') this.#isWelcomed = true
      else if (type === 'message') this.messages.push(msgId ?? '')
    }
  }

  /** Welcomed when it resolves; it ends with the test. */
  static async connect (t: Test, world: FaultWorld, user: string, url: string, patienceMs: number): Promise<ManualClient> {
    const RecordedSocket = recordedSocket(world.ledger, user, 'phone')
    const socket = new RecordedSocket(url, [SUBPROTOCOL, `bearer.${world.world.auth.mint(user, 'phone').accessToken}`])
    const client = new ManualClient(socket)
    world.closeAtEnd(t, client)
    await eventually(() => client.#isWelcomed, patienceMs)
    return client
  }

  async received (msgId: string, patienceMs: number): Promise<void> {
    await eventually(() => this.messages.includes(msgId), patienceMs)
  }

  acknowledge (msgId: string): void {
    this.#socket.send(JSON.stringify({ type: 'ack', msg_id: msgId }))
  }

  close (): void { this.#socket.close(1000) }
}
