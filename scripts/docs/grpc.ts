/** What proto/ does not say of the gRPC calls: who serves them, in which time, and what each status means. */
import { HOP_MARGIN_MS } from '../../src/delivery/delivery.ts'
import type { RefusalStatus } from '../../src/delivery/refusal.ts'
import { STREAM_MAX_AGE_MS, STREAM_RETRY_MS } from '../../plugins/lib/im-client.ts'
import { code } from './markdown.ts'
import { setting } from './settings.ts'

export interface ServiceText {
  /** Below proto/. */
  readonly file: string
  readonly title: string
  readonly about: string
  /** By method. */
  readonly deadlines: Readonly<Record<string, string>>
}

const OWN = `the caller's; without one ${setting('ACK_TIMEOUT')} + 1 s. Devices get ${code('ACK_TIMEOUT')}, at most the caller's less ${HOP_MARGIN_MS} ms`
const MESSAGE = `${setting('IM_TIMEOUT')} in all, ${setting('IM_ATTEMPT_TIMEOUT')} an attempt, of which there are two, with the same ${code('msg_id')}`
const USER = `${setting('USER_TIMEOUT')} in all; one retry where time is left`

export const SERVICES: readonly ServiceText[] = [
  {
    file: 'gateway/v1/gateway.proto',
    title: 'Served by the gateway',
    about: `On ${setting('GRPC_PORT')} of each node, for the IM Service and for the other nodes. Any node will do: devices on other nodes are reached by one hop (scope CLUSTER), and the nodes find each other in etcd.`,
    deadlines: {
      PushMessage: OWN,
      PushStream: 'each push as PushMessage; a deadline of the stream counts for every push on it',
      PushReadReceipt: 'the caller\'s; it waits for other nodes, not for devices',
      GetPresence: 'the caller\'s',
      Disconnect: `the caller's; other nodes get 5 s at most, less ${HOP_MARGIN_MS} ms`,
      Explain: 'the caller\'s; it waits for nothing'
    }
  },
  {
    file: 'im/v1/im.proto',
    title: 'IM Service',
    about: `Called at ${code('IM_SERVICE_ADDR')} for every message of a client. A message is acknowledged only after the reply, so the reply is to be sent when the message is safe.`,
    deadlines: {
      RoutePrivateMessage: MESSAGE,
      RouteGroupMessage: MESSAGE,
      RouteStream: `none of its own: each message in it as above. A stream is renewed after ${STREAM_MAX_AGE_MS / 1000} s; a channel that answered UNIMPLEMENTED is asked again after ${STREAM_RETRY_MS / 60_000} minutes`
    }
  },
  {
    file: 'auth/v1/auth.proto',
    title: 'Auth Service',
    about: `Called at ${code('AUTH_SERVICE_ADDR')} for tokens that the local check let through; answers are kept for ${setting('AUTH_CACHE_TTL')} at most. Not with ${code('AUTH_MODE=local')}.`,
    deadlines: { ValidateToken: `${setting('AUTH_TIMEOUT')} in all; one retry where time is left` }
  },
  {
    file: 'user/v1/user.proto',
    title: 'User Service',
    about: `Called at ${code('USER_SERVICE_ADDR')} for the members of groups that somebody here may be in.`,
    deadlines: { GetGroupMembers: USER, ValidateGroupMembership: USER }
  }
]

/** What a caller of the gateway is told, and whether it may call again. */
export const SERVED_STATUSES: Readonly<Record<RefusalStatus | 'UNAUTHENTICATED', readonly [when: string, then: string]>> = {
  INVALID_ARGUMENT: ['A field is out of its limits; the details name it', 'No'],
  UNAUTHENTICATED: ['No bearer or client certificate that this node knows', 'No'],
  RESOURCE_EXHAUSTED: [`Past ${setting('MAX_PENDING_PUSHES')} or ${setting('MAX_PENDING_PUSH_BYTES')}, or the message is too large`, 'Later, with back-off; not a message that is too large'],
  DEADLINE_EXCEEDED: [`The deadline leaves no more than ${HOP_MARGIN_MS} ms, or has passed`, 'With more time, and the same msg_id'],
  UNAVAILABLE: ['The node starts or ends; or etcd does not answer and nothing is known of the user, who may well be connected; `Disconnect`: a node did not answer', 'On another node, with the same msg_id'],
  INTERNAL: ['A fault of the gateway', 'Once or twice']
}
