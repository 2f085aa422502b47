/**
 * Frames to clients, prebuilt: the bytes of a whole unmasked WebSocket text frame (RFC 6455 section 5.2), so that
 * one buffer is shared by all its receivers and written as it is.
 */
import { ERRORS, type ErrorCode } from '../errors.ts'
import type { OutboundMessage } from './frames.ts'

const TEXT_FIN = 0x81

/** The header of an unmasked frame and its payload, in one buffer. */
export function textFrame (json: string, encoding: 'utf8' | 'latin1' = 'utf8'): Buffer {
  const length = Buffer.byteLength(json, encoding)
  const headerLength = length < 126 ? 2 : length < 65536 ? 4 : 10
  const frame = Buffer.allocUnsafe(headerLength + length)
  frame[0] = TEXT_FIN
  if (headerLength === 2) {
    frame[1] = length
  } else if (headerLength === 4) {
    frame[1] = 126
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = 127
    frame.writeUInt32BE(Math.floor(length / 4294967296), 2)
    frame.writeUInt32BE(length % 4294967296, 6)
  }
  frame.write(json, headerLength, encoding)
  return frame
}

export interface Welcome {
  readonly connectionId: string
  readonly userId: string
  readonly deviceId: string
  readonly nodeId: string
  readonly heartbeatIntervalMs: number
  readonly heartbeatTimeoutMs: number
  readonly maxMessageBytes: number
  readonly tokenExpiresAtMs: number
}

export function encodeWelcome (welcome: Welcome, nowMs: number): Buffer {
  return textFrame(JSON.stringify({
    type: 'welcome',
    connection_id: welcome.connectionId,
    user_id: welcome.userId,
    device_id: welcome.deviceId,
    node_id: welcome.nodeId,
    heartbeat_interval_ms: welcome.heartbeatIntervalMs,
    heartbeat_timeout_ms: welcome.heartbeatTimeoutMs,
    max_message_bytes: welcome.maxMessageBytes,
    token_expires_at: welcome.tokenExpiresAtMs,
    timestamp: nowMs
  }))
}

/** One frame for all receivers of a message. `ackRequired`: somebody waits for the device's acknowledgement. */
export function encodeMessage (message: OutboundMessage, ackRequired: boolean): Buffer {
  return textFrame(JSON.stringify({
    type: 'message',
    msg_id: message.msgId,
    sender: message.sender,
    recipient: message.recipient,
    content: message.content,
    message_type: message.messageType,
    metadata: message.metadata,
    timestamp: message.timestamp,
    sequence_number: message.sequenceNumber,
    ack_required: ackRequired ? true : undefined
  }))
}

/** From a template: `msgId` has passed the id pattern, so nothing in it needs escaping and all is ASCII. */
export function encodeAck (msgId: string, sequenceNumber: number, timestampMs: number): Buffer {
  return textFrame(`{"type":"ack","msg_id":"${msgId}","sequence_number":${sequenceNumber},"timestamp":${timestampMs}}`, 'latin1')
}

export interface ErrorFacts { readonly msgId?: string | undefined, readonly retryAfterMs?: number | undefined }

/** `retryable`: whether the same frame may succeed when it is sent again. */
export function encodeError (code: ErrorCode, nowMs: number, facts: ErrorFacts = {}): Buffer {
  return textFrame(JSON.stringify({
    type: 'error',
    msg_id: facts.msgId,
    error_code: code,
    error_message: ERRORS[code].text,
    retryable: ERRORS[code].retryable,
    retry_after_ms: facts.retryAfterMs,
    timestamp: nowMs
  }))
}

export function encodeHeartbeat (nowMs: number, clientTimestamp: number | undefined): Buffer {
  return textFrame(clientTimestamp === undefined
    ? `{"type":"heartbeat","timestamp":${nowMs}}`
    : `{"type":"heartbeat","timestamp":${nowMs},"client_timestamp":${clientTimestamp}}`)
}

export function encodeAuth (tokenExpiresAtMs: number, nowMs: number): Buffer {
  return textFrame(`{"type":"auth","token_expires_at":${tokenExpiresAtMs},"timestamp":${nowMs}}`)
}

export interface ReadReceipt { readonly msgId: string, readonly readerId: string, readonly conversationId: string, readonly readAtMs: number }

export function encodeReadReceipt (receipt: ReadReceipt, nowMs: number): Buffer {
  return textFrame(JSON.stringify({
    type: 'read_receipt',
    msg_id: receipt.msgId,
    reader_id: receipt.readerId,
    conversation_id: receipt.conversationId,
    read_at: receipt.readAtMs,
    timestamp: nowMs
  }))
}

export interface MembershipChange { readonly groupId: string, readonly userId: string, readonly eventType: 'join' | 'leave' }

export function encodeMembershipChange (change: MembershipChange, nowMs: number): Buffer {
  return textFrame(JSON.stringify({
    type: 'membership_change',
    group_id: change.groupId,
    user_id: change.userId,
    event_type: change.eventType,
    timestamp: nowMs
  }))
}

/** `reconnectAfterMs` is counted from the close that follows. */
export function encodeShutdown (reconnectAfterMs: number, nowMs: number): Buffer {
  return textFrame(`{"type":"shutdown","reconnect_after_ms":${reconnectAfterMs},"timestamp":${nowMs}}`)
}
