/**
 * The one table of close codes: what is sent in the close frame, what a client does next, and the
 * label of the metric that counts closed connections. RFC 6455 section 7.4; 4000-4999 are ours.
 */
export interface CloseRow {
  readonly code: number
  /** Reason text of the close frame and label of the metric. */
  readonly reason: string
  /** What a client does next. */
  readonly reconnect: 'no' | 'yes' | 'backoff' | 'after-fix' | 'after-delay' | 'after-token'
}

export const CLOSE = {
  clientClosed: { code: 1000, reason: 'client_closed', reconnect: 'no' },
  protocolError: { code: 1002, reason: 'protocol_error', reconnect: 'no' },
  binary: { code: 1003, reason: 'binary_frame', reconnect: 'no' },
  lost: { code: 1006, reason: 'connection_lost', reconnect: 'yes' },
  invalidUtf8: { code: 1007, reason: 'invalid_utf8', reconnect: 'no' },
  tooManyFragments: { code: 1008, reason: 'too_many_fragments', reconnect: 'no' },
  tooLarge: { code: 1009, reason: 'message_too_large', reconnect: 'after-fix' },
  shutdown: { code: 1012, reason: 'shutdown', reconnect: 'after-delay' },
  overloaded: { code: 1013, reason: 'overloaded', reconnect: 'backoff' },
  heartbeatTimeout: { code: 4000, reason: 'heartbeat_timeout', reconnect: 'yes' },
  slowConsumer: { code: 4001, reason: 'slow_consumer', reconnect: 'yes' },
  rateLimitAbuse: { code: 4002, reason: 'rate_limit_abuse', reconnect: 'after-delay' },
  invalidFrames: { code: 4003, reason: 'invalid_frames', reconnect: 'no' },
  tokenExpired: { code: 4401, reason: 'token_expired', reconnect: 'after-token' },
  disconnected: { code: 4403, reason: 'disconnected', reconnect: 'no' },
  revoked: { code: 4403, reason: 'revoked', reconnect: 'no' },
  replaced: { code: 4409, reason: 'replaced', reconnect: 'no' },
  deviceLimit: { code: 4429, reason: 'device_limit', reconnect: 'no' }
} as const satisfies Record<string, CloseRow>

export type CloseKind = keyof typeof CLOSE
