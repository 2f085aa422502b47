/** What writes a side's deeds to the ledger: sockets of clients, the store and the producer of the stand-in services. */
import WebSocket from 'ws'
import type { Socket } from '../../../client/src/socket.ts'
import type { Outside } from '../../../demo/outside.ts'
import type { MessageStore } from '../../../demo/stores/message-store.ts'
import type { Producer } from '../../../demo/producer.ts'
import type { Ledger } from './ledger.ts'

export type RecordedSocket = Socket & Pick<WebSocket, 'pause' | 'resume'>

/** The `ws` package's WebSocket for one device, which tells what goes through it. */
export function recordedSocket (ledger: Ledger, user: string, device: string): new (url: string, protocols: string[]) => RecordedSocket {
  class Recorded extends WebSocket {
    #conn = ''

    constructor (url: string, protocols: string[]) {
      super(url, protocols)
      this.on('message', (data) => { this.#take(JSON.parse(String(data)) as Record<string, unknown>) })
      this.on('close', (code) => { if (this.#conn !== '') ledger.say({ kind: 'closed', conn: this.#conn, code }) })
    }

    override send (text: string): void {
      const frame = JSON.parse(text) as Record<string, unknown>
      const msgId = String(frame['msg_id'])
      if (frame['type'] === 'send_msg') ledger.say({ kind: 'sent', user, msgId })
      else if (frame['type'] === 'ack') ledger.say({ kind: 'device_acked', conn: this.#conn, msgId })
      super.send(text)
    }

    #take (frame: Record<string, unknown>): void {
      const msgId = String(frame['msg_id'])
      const sequence = Number(frame['sequence_number'])
      if (frame['type'] === 'welcome') {
        this.#conn = String(frame['connection_id'])
        ledger.say({ kind: 'opened', user, device, conn: this.#conn, node: String(frame['node_id']) })
      } else if (frame['type'] === 'message') ledger.say({ kind: 'received', conn: this.#conn, recipient: String(frame['recipient']), msgId, sequence })
      else if (frame['type'] === 'ack') ledger.say({ kind: 'acked', user, msgId, sequence })
      else if (frame['type'] === 'error') ledger.say({ kind: 'error', user, msgId, code: String(frame['error_code']), retryable: frame['retryable'] === true })
    }
  }
  return Recorded as unknown as new (url: string, protocols: string[]) => RecordedSocket
}

/** What the IM Service does between keeping a message and saying so; where it rejects, the answer is an internal error. */
export type BeforeAnswer = (message: { readonly senderId: string, readonly msgId: string }) => Promise<void> | void

/** `beforeAnswer` is asked at each message. */
export function recordedOutside (outside: Outside, ledger: Ledger, beforeAnswer: () => BeforeAnswer | undefined): Outside {
  return { ...outside, store: recordedStore(outside.store, ledger, beforeAnswer), producer: recordedProducer(outside.producer, ledger) }
}

function recordedStore (store: MessageStore, ledger: Ledger, beforeAnswer: () => BeforeAnswer | undefined): MessageStore {
  return {
    accept: async (message, nowMs) => {
      const stored = await store.accept(message, nowMs)
      ledger.say({ kind: 'accepted', user: stored.senderId, msgId: stored.msgId, conversation: stored.conversation, sequence: Number(stored.sequenceNumber) })
      await beforeAnswer()?.(message)
      return stored
    },
    setStatus: (senderId, msgId, status) => store.setStatus(senderId, msgId, status),
    find: (senderId, msgId) => store.find(senderId, msgId),
    history: (conversation, after, limit) => store.history(conversation, after, limit),
    unfinished: (limit) => store.unfinished(limit),
    close: () => store.close()
  }
}

function recordedProducer (producer: Producer, ledger: Ledger): Producer {
  return {
    produce: async (topic, key, value) => {
      const atMs = performance.now()
      await producer.produce(topic, key, value)
      if (topic !== 'group_msg') return
      const { msg_id: msgId, sequence_number: sequence } = value as { msg_id: string, sequence_number: number }
      ledger.say({ kind: 'produced', group: key, msgId, sequence, atMs })
    }
  }
}
