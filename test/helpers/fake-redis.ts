/** A server that speaks Redis' protocol and keeps nothing but counts: for tests of a node whose client of Redis is the real one. */
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'

export class FakeRedis {
  /** How often the script of the handshake limits has counted, by key. */
  readonly counts = new Map<string, number>()
  /** Names of the commands that came, in capitals. */
  readonly commands: string[] = []
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #port = 0

  /** `host:port`. */
  get address (): string { return `127.0.0.1:${this.#port}` }

  /** Serves on a free port, or again on the port it had. */
  async start (): Promise<this> {
    const server = createServer((socket) => { this.#serve(socket) }).listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
    return this
  }

  /** Cuts every connection and stops listening. */
  stop (): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server?.close()
    this.#server = undefined
  }

  /** Takes commands and answers none of them, until `thaw`. */
  freeze (): void {
    for (const socket of this.#sockets) socket.pause()
  }

  thaw (): void {
    for (const socket of this.#sockets) socket.resume()
  }

  #serve (socket: Socket): void {
    let rest = ''
    let isQueueing = false
    this.#sockets.add(socket)
    socket.setEncoding('latin1')
    socket.on('error', () => {})
    socket.on('close', () => { this.#sockets.delete(socket) })
    socket.on('data', (text: string) => {
      const { commands, left } = parse(rest + text)
      rest = left
      for (const [name = '', ...args] of commands) {
        const command = name.toUpperCase()
        this.commands.push(command)
        if (command === 'MULTI') isQueueing = true
        else if (command === 'EXEC') isQueueing = false
        else if (isQueueing) {
          socket.write('+QUEUED\r\n')
          continue
        }
        socket.write(this.#answer(command, args))
      }
    })
  }

  #answer (command: string, [, , key = '', windowMs = '']: readonly string[]): string {
    switch (command) {
      case 'INFO': return bulk('redis_version:7.0.0\r\nloading:0\r\n')
      case 'PING': return '+PONG\r\n'
      case 'SMEMBERS': return '*0\r\n'
      case 'EXEC': return '*2\r\n+OK\r\n:1\r\n'
      case 'EVALSHA': {
        const count = (this.counts.get(key) ?? 0) + 1
        this.counts.set(key, count)
        return `*2\r\n:${count}\r\n:${windowMs}\r\n`
      }
      case 'DEL': case 'SADD': case 'PEXPIRE': case 'EVAL': return ':1\r\n'
      default: return '+OK\r\n'
    }
  }
}

function bulk (text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`
}

/** Whole commands, arrays of bulk strings, and what is left of the next one. */
function parse (text: string): { commands: string[][], left: string } {
  const commands: string[][] = []
  for (let at = 0; ;) {
    const head = /^\*(\d+)\r\n/.exec(text.slice(at))
    if (head === null) return { commands, left: text.slice(at) }
    const parts: string[] = []
    let next = at + head[0].length
    for (let n = Number(head[1]); n > 0; n--) {
      const length = /^\$(\d+)\r\n/.exec(text.slice(next))
      if (length === null) return { commands, left: text.slice(at) }
      const from = next + length[0].length
      next = from + Number(length[1]) + 2
      if (next > text.length) return { commands, left: text.slice(at) }
      parts.push(text.slice(from, next - 2))
    }
    commands.push(parts)
    at = next
  }
}
