/** One client's socket. Opaque to the core: only the `SocketDriver` touches it. */
export interface Socket { readonly __socket?: never }

/** What can be done to a socket; one shared object, so that a connection needs no closures. */
export interface SocketDriver {
  /** Writes bytes that are whole WebSocket frames. False: the kernel did not take them, the owner is told once it has. */
  write (socket: Socket, frames: Buffer): boolean
  /** Bytes that were written and that the kernel has not taken yet. */
  bufferedBytes (socket: Socket): number
  ping (socket: Socket): void
  /** Starts the closing handshake; the driver destroys the socket when the peer does not answer in time. */
  close (socket: Socket, code: number, reason: string): void
  /** Destroys the socket at once. */
  terminate (socket: Socket): void
  pause (socket: Socket): void
  resume (socket: Socket): void
}
