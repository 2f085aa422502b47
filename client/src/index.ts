/** The reference client of the IM gateway. */
export type { Socket, SocketConstructor } from './socket.ts'
export { ImClient } from './im-client.ts'
export { ConnectionError, ImError, SendError, SendTimeoutError } from './errors.ts'
export type { ClientState, End, ImClientOptions } from './options.ts'
export type { Accepted, SendOptions } from './outgoing.ts'
export type { Gap, History } from './inbox.ts'
export { messageOf } from './frames.ts'
export type { MembershipChange, Message, ReadReceipt } from './frames.ts'
