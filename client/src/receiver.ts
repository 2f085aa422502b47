/** What comes from the gateway for the application: acknowledged where that is asked for, and told once. */
import type { ClientClock } from './clock.ts'
import { membershipOf, messageOf, receiptOf, type Frame } from './frames.ts'
import { Inbox } from './inbox.ts'
import type { DEFAULTS, ImClientOptions } from './options.ts'
import { Seen } from './seen.ts'
import { tell } from './tell.ts'

export class Receiver {
  readonly inbox: Inbox
  readonly #options: ImClientOptions
  readonly #receipts = new Seen()

  constructor (options: ImClientOptions & typeof DEFAULTS, clock: ClientClock, isSending: (conversation: string) => boolean) {
    this.#options = options
    this.inbox = new Inbox({
      ...options,
      clock,
      isSending,
      deliver: (message, conversation) => { tell(options.onMessage, message, conversation) },
      onGap: (gap) => { tell(options.onGap, gap) }
    })
  }

  /** `userId`: whose session it is. `write`: into that session. */
  take (frame: Frame, userId: string, write: (text: string) => void): void {
    switch (frame.type) {
      case 'message': {
        const message = messageOf(frame)
        if (frame['ack_required'] === true) write(JSON.stringify({ type: 'ack', msg_id: message.msgId }))
        // Of a private conversation each side knows the other's name.
        this.inbox.receive(message, message.recipient === userId ? message.sender : message.recipient)
        break
      }
      case 'read_receipt': {
        const receipt = receiptOf(frame)
        if (this.#receipts.add(`${receipt.msgId} ${receipt.readerId}`)) tell(this.#options.onReceipt, receipt)
        break
      }
      case 'membership_change': tell(this.#options.onMembership, membershipOf(frame)); break
      // A heartbeat is a sign of life and nothing more; types of a later protocol are passed over.
      default: break
    }
  }
}
