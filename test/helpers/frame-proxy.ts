/** A gateway that breaks its promises: everything passes through, but what it sends goes through the hands of the test. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import WebSocket, { WebSocketServer } from 'ws'

/** A frame of the gateway, on its way; `pass` sends a text on. */
export type Meddle = (frame: Readonly<Record<string, unknown>>, pass: (text: string) => void, client: WebSocket) => void

export class FrameProxy {
  readonly #server: WebSocketServer

  private constructor (server: WebSocketServer) {
    this.#server = server
  }

  /** In front of `ws://host:port/ws`. It reads whatever the client does, and answers pings itself; `passesPings`: the client sees them as well. */
  static async to (target: string, meddle: Meddle, passesPings = true): Promise<FrameProxy> {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: (protocols) => [...protocols][0] ?? false })
    server.on('connection', (client, request) => {
      const protocols = String(request.headers['sec-websocket-protocol']).split(',').map((each) => each.trim())
      const gateway = new WebSocket(new URL(request.url ?? '', target), protocols)
      const early: string[] = []
      client.on('message', (data) => { if (gateway.readyState === WebSocket.OPEN) gateway.send(String(data)); else early.push(String(data)) })
      gateway.on('open', () => { for (const text of early) gateway.send(text) })
      gateway.on('message', (data) => { meddle(JSON.parse(String(data)) as Record<string, unknown>, (text) => { client.send(text) }, client) })
      if (passesPings) gateway.on('ping', () => { client.ping() })
      gateway.on('close', (code, reason) => { if (code === 1006) client.terminate(); else client.close(code, reason) })
      client.on('close', () => { gateway.terminate() })
      for (const socket of [client, gateway]) socket.on('error', () => { /* told by its close */ })
    })
    await once(server, 'listening')
    return new FrameProxy(server)
  }

  get url (): string { return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/ws` }

  close (): void {
    for (const client of this.#server.clients) client.terminate()
    this.#server.close()
  }
}
