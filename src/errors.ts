/**
 * The one table of error codes. A client sees `text` and never an upstream's own words;
 * the HTTP status is used before the upgrade, the code in `error` frames after it.
 */

/** One row of the table. */
export interface ErrorRow {
  /** What the client reads. */
  readonly text: string
  /** Whether the same request may succeed when it is repeated unchanged. */
  readonly retryable: boolean
  /** Answer before the upgrade. */
  readonly httpStatus: number
}

function row (text: string, retryable: boolean, httpStatus: number): ErrorRow {
  return { text, retryable, httpStatus }
}

export const ERRORS = {
  INVALID_MESSAGE: row('the message is malformed', false, 400),
  UNKNOWN_MESSAGE_TYPE: row('the message type is not known', false, 400),
  INVALID_RECIPIENT: row('the recipient is malformed', false, 400),
  INVALID_DEVICE: row('the device id is missing, malformed or not the one of the token', false, 400),
  RATE_LIMIT_EXCEEDED: row('too many requests, slow down', true, 429),
  OVERLOADED: row('the node is overloaded, try again later', true, 503),
  UPGRADE_REQUIRED: row('this address speaks WebSocket only', false, 426),
  AUTH_REQUIRED: row('a token is required', false, 401),
  INVALID_TOKEN: row('the token is not valid', false, 401),
  TOKEN_EXPIRED: row('the token has expired', false, 401),
  TOKEN_REVOKED: row('the token was revoked', false, 401),
  DEVICE_LIMIT_EXCEEDED: row('too many devices of this user are connected', false, 429),
  ORIGIN_NOT_ALLOWED: row('this origin may not connect', false, 403),
  ROUTING_ERROR: row('the message could not be routed', true, 502),
  CONTENT_TOO_LONG: row('the content is too long', false, 413),
  SENDER_NOT_FOUND: row('the sender is not known', false, 404),
  RECIPIENT_NOT_FOUND: row('the recipient is not known', false, 404),
  GROUP_NOT_FOUND: row('the group is not known', false, 404),
  NOT_GROUP_MEMBER: row('the sender is not a member of the group', false, 403),
  SENSITIVE_CONTENT: row('the content was refused', false, 422),
  SERVICE_UNAVAILABLE: row('a service that is needed does not answer, try again', true, 503),
  DEADLINE_EXCEEDED: row('the outcome is not known, send again with the same msg_id', true, 504),
  SERVER_SHUTDOWN: row('the node is shutting down, connect again', true, 503),
  INTERNAL_ERROR: row('an internal error happened', true, 500)
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof ERRORS

/** Clients that were refused together come back spread over this many seconds. */
export const RETRY_SPREAD_S = 5

/** An error with a code of the table, for the log a cause, for the client only the table's text. */
export class GatewayError extends Error {
  readonly code: ErrorCode
  /** How long to wait before the request is repeated, where it is known. */
  readonly retryAfterMs: number | undefined

  constructor (code: ErrorCode, options: { cause?: unknown, detail?: string, retryAfterMs?: number } = {}) {
    super(options.detail ?? ERRORS[code].text, { cause: options.cause })
    this.name = 'GatewayError'
    this.code = code
    this.retryAfterMs = options.retryAfterMs
  }
}

/** Body of every HTTP refusal. */
export function errorBody (code: ErrorCode): { error_code: ErrorCode, error_message: string } {
  return { error_code: code, error_message: ERRORS[code].text }
}
