/**
 * People who write to each other and to their groups until they are told to stop, as good clients do: one message after
 * the other, and one that was not acknowledged is sent again under its id.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { SendError, type DemoClient } from '../../demo/client.ts'

export interface Acknowledged { readonly sender: string, readonly recipient: string, readonly msgId: string, readonly sequenceNumber: number }

const PAUSE_MS = 50
const ANSWER_TIMEOUT_MS = 8_000

export class ChatTraffic {
  readonly acknowledged: Acknowledged[] = []
  /** Error codes that were answered, in order. */
  readonly errors: string[] = []
  readonly #run: string
  readonly #loops: Array<Promise<void>> = []
  #isOver = false
  #next = 0

  constructor (run: string) {
    this.#run = run
  }

  /** Writes to the recipients by turns until `stop`. */
  start (client: DemoClient, sender: string, recipients: readonly string[]): void {
    const loop = this.#write(client, sender, recipients)
    // Told by `stop`.
    loop.catch(() => {})
    this.#loops.push(loop)
  }

  /** Resolves when the last message of everybody is acknowledged; rejects where one never was. */
  async stop (): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#loops)
  }

  async #write (client: DemoClient, sender: string, recipients: readonly string[]): Promise<void> {
    for (let turn = 0; !this.#isOver; turn++) {
      const recipient = recipients[turn % recipients.length] as string
      const msgId = `${this.#run}-${this.#next++}`
      const sequenceNumber = await this.#untilAcknowledged(client, recipient, msgId)
      this.acknowledged.push({ sender, recipient, msgId, sequenceNumber })
      await pause(PAUSE_MS)
    }
  }

  async #untilAcknowledged (client: DemoClient, recipient: string, msgId: string): Promise<number> {
    for (;;) {
      try {
        return (await client.send(recipient, `content of ${msgId}`, { msgId })).sequenceNumber
      } catch (error) {
        if (!(error instanceof SendError) || error.frame['retryable'] !== true) throw error
        this.errors.push(error.code)
        await pause(PAUSE_MS)
      }
    }
  }
}

/** The clients of the traffic wait for longer than the gateway does. */
export const PATIENT = { timeoutMs: ANSWER_TIMEOUT_MS } as const
