/** The part of the browser's WebSocket that the client uses; the `ws` package has the same. */
export interface Socket {
  onopen: (() => void) | null
  onmessage: ((event: { data: unknown }) => void) | null
  onclose: ((event: { code: number }) => void) | null
  onerror: (() => void) | null
  send (text: string): void
  close (code?: number): void
}

export type SocketConstructor = new (url: string, protocols: string[]) => Socket
