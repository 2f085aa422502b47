/** The reference client of the IM gateway. */
export type { Socket, SocketConstructor } from './socket.ts'
export { ImClient, type ClientState, type End, type ImClientOptions } from './im-client.ts'
export { SendError, SendTimeoutError, type Accepted, type SendOptions } from './outgoing.ts'
export type { Gap, History } from './inbox.ts'
export type { MembershipChange, Message, ReadReceipt } from './frames.ts'
