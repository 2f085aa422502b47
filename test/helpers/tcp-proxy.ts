/** A way through TCP that can be cut or frozen, and opened again, for faults that only one side sees. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

export class TcpProxy {
  readonly #server: Server
  /** Each socket with the one that gets what comes from it. */
  readonly #ways = new Map<Socket, Socket>()
  #isCut = false
  #isFrozen = false

  private constructor (target: { readonly host: string, readonly port: number }) {
    this.#server = createServer((incoming) => {
      if (this.#isCut) {
        incoming.destroy()
        return
      }
      const outgoing = connect(target)
      for (const [from, to] of [[incoming, outgoing], [outgoing, incoming]] as const) {
        this.#ways.set(from, to)
        from.once('close', () => {
          this.#ways.delete(from)
          to.destroy()
        })
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
    for (const socket of this.#ways.keys()) socket.destroy()
  }

  heal (): void {
    this.#isCut = false
  }

  /** A black hole: who connects is let in, what is sent is taken, and nothing comes back. */
  freeze (): void {
    this.#isFrozen = true
    for (const from of this.#ways.keys()) from.unpipe()
  }

  thaw (): void {
    this.#isFrozen = false
    for (const [from, to] of this.#ways) from.pipe(to)
  }

  close (): void {
    this.cut()
    this.#server.close()
  }
}
