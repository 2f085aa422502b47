/** What can go wrong, each with a `code` to branch on. */

/** Every error of the client. `code` is one of the gateway's error table or of those named below. */
export class ImError extends Error {
  override name = 'ImError'
  readonly code: string

  constructor (code: string, detail: string, cause?: unknown) {
    super(detail, { cause })
    this.code = code
  }
}

/** The message was refused for good: by the gateway, or here with OVERLOADED, CONTENT_TOO_LONG, INVALID_MESSAGE or CLIENT_ENDED. */
export class SendError extends ImError {
  override name = 'SendError'
  readonly msgId: string

  constructor (code: string, msgId: string, detail = code) {
    super(code, detail)
    this.msgId = msgId
  }
}

/** TIMEOUT: not accepted in time. It may have been: the outcome is unknown. */
export class SendTimeoutError extends ImError {
  override name = 'SendTimeoutError'
  readonly msgId: string

  constructor (msgId: string, timeoutMs: number) {
    super('TIMEOUT', `not accepted within ${timeoutMs} ms`)
    this.msgId = msgId
  }
}

/**
 * Of the connection. NO_TOKEN: the provider failed, it is asked again; INVALID_TOKEN: it gave what cannot be sent;
 * CANNOT_CONNECT: there is no WebSocket, or it does not take the address (the `cause` says more); else the code of an error frame that answers no message.
 */
export class ConnectionError extends ImError {
  override name = 'ConnectionError'
}
