/** A way through TCP that can be cut and opened again, for faults that only one side sees. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

export class TcpProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #isCut = false

  private constructor (target: { readonly host: string, readonly port: number }) {
    this.#server = createServer((incoming) => {
      if (this.#isCut) {
        incoming.destroy()
        return
      }
      const outgoing = connect(target)
      for (const [from, to] of [[incoming, outgoing], [outgoing, incoming]] as const) {
        this.#sockets.add(from)
        from.once('close', () => {
          this.#sockets.delete(from)
          to.destroy()
        })
        from.on('error', () => { /* told by its close */ })
        from.pipe(to)
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
    for (const socket of this.#sockets) socket.destroy()
  }

  heal (): void {
    this.#isCut = false
  }

  close (): void {
    this.cut()
    this.#server.close()
  }
}
