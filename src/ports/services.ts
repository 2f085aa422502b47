/** What the Auth, IM and User services are asked for, and what is kept of their answers. */
import type { ErrorCode } from '../errors.ts'
import type { MessageType } from '../protocol/frames.ts'

/** Who a token speaks for. Times are Unix milliseconds. */
export interface Identity {
  readonly userId: string
  /** Absent where the token is not bound to a device. */
  readonly deviceId: string | undefined
  /** When the session ends unless the token is renewed. */
  readonly expiresAtMs: number
  /** `iat`; a token without it counts as older than every revocation. */
  readonly issuedAtMs: number | undefined
}

export type AuthErrorCode = Extract<ErrorCode, 'INVALID_TOKEN' | 'TOKEN_EXPIRED' | 'TOKEN_REVOKED' | 'SERVICE_UNAVAILABLE'>
export type AuthResult =
  | { readonly ok: true, readonly identity: Identity }
  | { readonly ok: false, readonly code: AuthErrorCode }

/** The whole check of a token [GW-CON-2]; never rejects. */
export interface Authenticator {
  authenticate (token: string): Promise<AuthResult>
}

/** The Auth Service's answer. Rejects with a GatewayError when there is no answer. */
export interface AuthService {
  validateToken (token: string): Promise<
    | { readonly valid: true, readonly userId: string, readonly deviceId: string | undefined, readonly expiresAtMs: number | undefined }
    | { readonly valid: false, readonly code: 'INVALID_TOKEN' | 'TOKEN_EXPIRED' | 'TOKEN_REVOKED' }>
}

export interface RouteRequest {
  readonly kind: 'private' | 'group'
  readonly msgId: string
  readonly senderId: string
  readonly senderDeviceId: string
  /** User or group id. */
  readonly recipientId: string
  readonly content: string
  readonly messageType: MessageType
  readonly metadata: Readonly<Record<string, string>> | undefined
  readonly clientTimestampMs: number
  readonly traceparent: string | undefined
}

export interface RouteAccepted {
  readonly sequenceNumber: number
  readonly timestampMs: number
}

/** Resolves only when the IM Service accepted the message; rejects with a GatewayError. One attempt, no retry. */
export interface ImService {
  route (request: RouteRequest, deadlineMs: number): Promise<RouteAccepted>
}

export interface MemberPage {
  readonly userIds: readonly string[]
  readonly nextCursor: string
  readonly hasMore: boolean
  readonly totalCount: number
}

/** Rejects with a GatewayError: GROUP_NOT_FOUND, or SERVICE_UNAVAILABLE when there is no answer. */
export interface UserService {
  groupMembers (groupId: string, cursor: string, limit: number): Promise<MemberPage>
  isMember (groupId: string, userId: string): Promise<boolean>
}

/** Second level of the group member cache (Redis). Every method rejects where the cache cannot answer. */
export interface SharedCache {
  /** undefined: not cached. */
  members (groupId: string): Promise<string[] | undefined>
  store (groupId: string, userIds: readonly string[]): Promise<void>
  /** Changes a cached group; does nothing where the group is not cached. */
  apply (groupId: string, userId: string, event: 'join' | 'leave'): Promise<void>
}
