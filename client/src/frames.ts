/** What a gateway sends, as the application sees it. */
export interface Message {
  readonly msgId: string
  readonly sender: string
  /** The user or the group that it was sent to. */
  readonly recipient: string
  readonly content: string
  readonly messageType: string
  readonly metadata: Readonly<Record<string, string>>
  /** Unix milliseconds. */
  readonly timestamp: number
  /** Rises by exactly one in a conversation; 0: it has none. */
  readonly sequenceNumber: number
}

export interface ReadReceipt { readonly msgId: string, readonly readerId: string, readonly conversationId: string, readonly readAt: number }
export interface MembershipChange { readonly groupId: string, readonly userId: string, readonly event: 'join' | 'leave' }

/** A frame as it came: one JSON object with a type. */
export type Frame = Readonly<Record<string, unknown>> & { readonly type: string }

/** undefined: what came is no frame. */
export function parseFrame (text: string): Frame | undefined {
  try {
    const value = JSON.parse(text) as Frame | null
    return typeof value?.type === 'string' ? value : undefined
  } catch {
    return undefined
  }
}

/** Of a `message` frame, or of an entry of the history, which has the same fields; what has no id or number gets none, '' and 0. */
export function messageOf (frame: Readonly<Record<string, unknown>>): Message {
  return {
    msgId: String(frame['msg_id'] ?? ''),
    sender: String(frame['sender']),
    recipient: String(frame['recipient']),
    content: String(frame['content']),
    messageType: String(frame['message_type'] ?? 'text'),
    metadata: (frame['metadata'] ?? {}) as Record<string, string>,
    timestamp: Number(frame['timestamp']),
    sequenceNumber: Number(frame['sequence_number'] ?? 0)
  }
}

export function receiptOf (frame: Frame): ReadReceipt {
  return { msgId: String(frame['msg_id']), readerId: String(frame['reader_id']), conversationId: String(frame['conversation_id']), readAt: Number(frame['read_at']) }
}

export function membershipOf (frame: Frame): MembershipChange {
  return { groupId: String(frame['group_id']), userId: String(frame['user_id']), event: frame['event_type'] === 'leave' ? 'leave' : 'join' }
}
