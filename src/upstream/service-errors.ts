/**
 * What the services' own error codes mean to a client. The codes come inside an OK reply; a code that this version does not
 * know is a refusal as well, never an acceptance.
 */
import { AuthErrorCode } from '../generated/auth/v1/auth.ts'
import { IMErrorCode } from '../generated/im/v1/im.ts'
import { UserErrorCode } from '../generated/user/v1/user.ts'
import { GatewayError, type ErrorCode } from '../errors.ts'

type Refusal<Code extends number> = Exclude<Code, 0>

const IM_ERRORS: Readonly<Record<Refusal<IMErrorCode>, ErrorCode>> = {
  [IMErrorCode.IM_ERROR_CODE_INVALID_MESSAGE]: 'INVALID_MESSAGE',
  [IMErrorCode.IM_ERROR_CODE_CONTENT_TOO_LONG]: 'CONTENT_TOO_LONG',
  [IMErrorCode.IM_ERROR_CODE_SENDER_NOT_FOUND]: 'SENDER_NOT_FOUND',
  [IMErrorCode.IM_ERROR_CODE_RECIPIENT_NOT_FOUND]: 'RECIPIENT_NOT_FOUND',
  [IMErrorCode.IM_ERROR_CODE_GROUP_NOT_FOUND]: 'GROUP_NOT_FOUND',
  [IMErrorCode.IM_ERROR_CODE_NOT_GROUP_MEMBER]: 'NOT_GROUP_MEMBER',
  [IMErrorCode.IM_ERROR_CODE_SENSITIVE_CONTENT]: 'SENSITIVE_CONTENT',
  [IMErrorCode.IM_ERROR_CODE_SEQUENCE_ERROR]: 'ROUTING_ERROR',
  [IMErrorCode.IM_ERROR_CODE_REGISTRY_ERROR]: 'ROUTING_ERROR',
  [IMErrorCode.IM_ERROR_CODE_KAFKA_ERROR]: 'ROUTING_ERROR',
  [IMErrorCode.IM_ERROR_CODE_DELIVERY_TIMEOUT]: 'ROUTING_ERROR',
  [IMErrorCode.IM_ERROR_CODE_DELIVERY_FAILED]: 'ROUTING_ERROR',
  [IMErrorCode.IM_ERROR_CODE_INTERNAL_ERROR]: 'INTERNAL_ERROR'
}

/** The client's code for the IM Service's; undefined: the message was accepted. */
export function imError (code: IMErrorCode): ErrorCode | undefined {
  return code === IMErrorCode.IM_ERROR_CODE_UNSPECIFIED ? undefined : IM_ERRORS[code] ?? 'INTERNAL_ERROR'
}

/** Throws what a User Service's code means: GROUP_NOT_FOUND, or SERVICE_UNAVAILABLE for everything that says nothing of the group. */
export function checkUserError (code: UserErrorCode): void {
  if (code === UserErrorCode.USER_ERROR_CODE_UNSPECIFIED) return
  if (code === UserErrorCode.USER_ERROR_CODE_GROUP_NOT_FOUND) throw new GatewayError('GROUP_NOT_FOUND')
  throw new GatewayError('SERVICE_UNAVAILABLE', { detail: `the User Service answered with error ${code}` })
}

/** What an Auth Service's refusal means; `no answer`: it could not tell, so nothing is known of the token. */
export function authRefusal (code: AuthErrorCode): 'INVALID_TOKEN' | 'TOKEN_EXPIRED' | 'no answer' {
  if (code === AuthErrorCode.AUTH_ERROR_CODE_INTERNAL_ERROR) return 'no answer'
  return code === AuthErrorCode.AUTH_ERROR_CODE_TOKEN_EXPIRED ? 'TOKEN_EXPIRED' : 'INVALID_TOKEN'
}
