/** The part of the browser's WebSocket that the client uses; the `ws` package has the same. Handlers take `never`, so that whatever either calls its events fits. */
export interface Socket {
  onopen: ((event: never) => void) | null
  onmessage: ((event: never) => void) | null
  onclose: ((event: never) => void) | null
  onerror: ((event: never) => void) | null
  send (text: string): void
  close (code?: number): void
}

export type SocketConstructor = new (url: string, protocols: string[]) => Socket
