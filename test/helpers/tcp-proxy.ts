/** A way through TCP that can be cut or frozen and opened again, for faults that only one side sees. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

export class TcpProxy {
  readonly #server: Server
  /** Both ends of each connection: what comes from the one goes to the other. */
  readonly #ways = new Map<Socket, Socket>()
  #isCut = false
  #isFrozen = false

  private constructor (target: { readonly host: string, readonly port: number }) {
    // Ends are passed on as all else is, and not at all while it is frozen.
    this.#server = createServer({ allowHalfOpen: true }, (incoming) => {
      if (this.#isCut) {
        incoming.destroy()
        return
      }
      const outgoing = connect({ ...target, allowHalfOpen: true })
      for (const [from, to] of [[incoming, outgoing], [outgoing, incoming]] as const) {
        this.#ways.set(from, to)
        from.once('close', () => { if (!this.#isFrozen) this.#part(from, to) })
        from.on('error', () => { /* told by its close */ })
        if (!this.#isFrozen) from.pipe(to)
      }
    }).listen(0, '127.0.0.1')
  }

  /** In front of `host:port`. */
  static async to (address: string): Promise<TcpProxy> {
    const [host = '', port = ''] = address.split(':')
    const proxy = new TcpProxy({ host, port: Number(port) })
    await once(proxy.#server, 'listening')
    return proxy
  }

  /** `host:port`. */
  get address (): string { return `127.0.0.1:${(this.#server.address() as AddressInfo).port}` }

  /** What goes through ends, and nothing new is let in. */
  cut (): void {
    this.#isCut = true
    this.#isFrozen = false
    for (const socket of this.#ways.keys()) socket.destroy()
  }

  heal (): void {
    this.#isCut = false
  }

  /** A black hole: connections stay and new ones are taken, but nothing passes, and neither side hears of the other's end. */
  freeze (): void {
    this.#isFrozen = true
    for (const [from, to] of this.#ways) from.unpipe(to)
  }

  /** What was held up passes on. */
  thaw (): void {
    this.#isFrozen = false
    for (const [from, to] of this.#ways) {
      if (from.closed) this.#part(from, to)
      else from.pipe(to)
    }
  }

  close (): void {
    this.cut()
    this.#server.close()
  }

  #part (from: Socket, to: Socket): void {
    this.#ways.delete(from)
    to.destroy()
  }
}
