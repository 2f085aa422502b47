/** What the stand-in IM Service keeps: messages numbered by conversation. */

/**
 * accepted: numbered and kept, not yet handed on; published: the broker has it (group messages);
 * delivered: a device of the recipient acknowledged it; offline: it waits in the history.
 */
export type MessageStatus = 'accepted' | 'published' | 'delivered' | 'offline'

export interface NewMessage {
  readonly conversation: string
  readonly isGroup: boolean
  readonly msgId: string
  readonly senderId: string
  readonly senderDeviceId: string
  /** User or group. */
  readonly recipientId: string
  readonly content: string
  /** As in the client's frames: `text`, `image` … */
  readonly messageType: string
  readonly metadata: Readonly<Record<string, string>>
}

export interface StoredMessage extends NewMessage {
  readonly sequenceNumber: bigint
  /** Unix milliseconds. */
  readonly acceptedAtMs: number
  readonly status: MessageStatus
}

export interface MessageStore {
  /**
   * Numbers and keeps a message: its conversation's last number plus exactly one. A (sender, msg_id) that is known
   * already is answered with what was kept then, and takes no number. Resolves only when the message is safe.
   */
  accept (message: NewMessage, nowMs: number): Promise<StoredMessage>
  setStatus (senderId: string, msgId: string, status: MessageStatus): Promise<void>
  find (senderId: string, msgId: string): Promise<StoredMessage | undefined>
  /** Messages with a number above `after`, in order. */
  history (conversation: string, after: bigint, limit: number): Promise<readonly StoredMessage[]>
  /** The oldest messages that were accepted and not handed on, in order: what a restart has to take up again. */
  unfinished (limit: number): Promise<readonly StoredMessage[]>
  close (): Promise<void>
}

/**
 * The conversation of two users, whoever writes, as `alice:bob`; of a group, the group's id. `:` and `%` in ids are
 * percent-encoded, so that no two conversations share a name.
 */
export function conversationOf (senderId: string, recipientId: string, isGroup: boolean): string {
  if (isGroup) return escapeId(recipientId)
  return [escapeId(senderId), escapeId(recipientId)].sort().join(':')
}

/** The users of a private conversation; undefined where the name is a group's. */
export function participantsOf (conversation: string): readonly string[] | undefined {
  const parts = conversation.split(':')
  return parts.length === 2 ? parts.map(unescapeId) : undefined
}

export function groupOf (conversation: string): string {
  return unescapeId(conversation)
}

function escapeId (id: string): string {
  return id.replaceAll('%', '%25').replaceAll(':', '%3A')
}

function unescapeId (id: string): string {
  return id.replaceAll('%3A', ':').replaceAll('%25', '%')
}
