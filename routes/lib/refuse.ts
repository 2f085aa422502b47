/** The HTTP answer of the error table, before an upgrade. */
import { randomInt } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import { errorBody, ERRORS, RETRY_SPREAD_S, type ErrorCode } from '../../src/errors.ts'

/** Answers with the row's status and body; `retryAfterS` where the wait is known, a jittered one for a 503 without. */
export function refuse (reply: FastifyReply, code: ErrorCode, retryAfterS?: number): FastifyReply {
  const { httpStatus } = ERRORS[code]
  const wait = retryAfterS ?? (httpStatus === 503 ? randomInt(1, RETRY_SPREAD_S + 1) : undefined)
  if (wait !== undefined) reply.header('retry-after', Math.max(1, Math.ceil(wait)))
  if (httpStatus === 401) {
    reply.header('www-authenticate', code === 'AUTH_REQUIRED' ? 'Bearer' : 'Bearer error="invalid_token"') // RFC 6750 section 3
  }
  // RFC 9110 section 15.5.22 and RFC 6455 section 4.4: what is wanted is named. An upgrade takes a connection of its own.
  if (httpStatus === 426) reply.header('upgrade', 'websocket').header('connection', 'Upgrade, close').header('sec-websocket-version', '13')
  return reply.code(httpStatus).send(errorBody(code))
}
