/**
 * Stands before the WebSocket server [GW-CON-10]: no timeout of Node or Fastify covers a socket once it asked for an
 * upgrade, so a hung or pipelined handshake would keep it open for good. Only the exact path passes, pending handshakes
 * are bounded in all and per address, and what has not become a WebSocket in time is destroyed.
 */
import { EventEmitter } from 'node:events'
import { STATUS_CODES, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock, Meter, Timer } from '../../src/ports.ts'
import { errorBody, ERRORS, type ErrorCode } from '../../src/errors.ts'
import { ShortLivedMap } from '../../src/short-lived-map.ts'

export interface UpgradeGuardOptions {
  readonly clock: Clock
  readonly meter: Meter
  readonly path: string
  readonly handshakeTimeoutMs: number
  readonly maxPending: number
  readonly maxPendingPerAddress: number
  /** Open sockets of one address; 0: no limit. */
  readonly maxConnectionsPerAddress: number
  /** The client's address, behind trusted proxies as well. */
  readonly addressOf: (request: IncomingMessage) => string
  /** Seconds for Retry-After. */
  readonly retryAfterSeconds: () => number
}

interface Pending { readonly address: string, readonly timer: Timer }

/** Emits `upgrade` for what passed, as an HTTP server would. */
export class UpgradeGuard extends EventEmitter {
  readonly #options: UpgradeGuardOptions
  readonly #pending = new ShortLivedMap<Duplex, Pending>()
  readonly #pendingByAddress = new Map<string, number>()
  readonly #openByAddress = new Map<string, number>()

  readonly #onClose: (this: Duplex) => void

  constructor (options: UpgradeGuardOptions) {
    super()
    this.#options = options
    const done = (socket: Duplex): void => { this.done(socket) }
    this.#onClose = function (this: Duplex) { done(this) }
    options.meter.source('pending_handshakes', () => this.#pending.size)
  }

  /** Handshakes that are under way. */
  get pendingCount (): number { return this.#pending.size }

  /** Listener for the HTTP server's `upgrade`. */
  handle (request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', destroy)
    // Reset before its request was read: it has no address any more, and nobody waits for an answer.
    if (request.socket.remoteAddress === undefined) return destroy.call(socket)
    const { path, maxPending, maxPendingPerAddress, maxConnectionsPerAddress, clock, handshakeTimeoutMs } = this.#options
    const url = request.url ?? ''
    const mark = url.indexOf('?')
    if ((mark === -1 ? url : url.slice(0, mark)) !== path || request.method !== 'GET') return this.#refuse(socket, 404, 'path')
    if (request.headers.upgrade?.toLowerCase() !== 'websocket') return this.#refuse(socket, 426, 'UPGRADE_REQUIRED')
    const address = addressKey(this.#options.addressOf(request))
    if (this.#pending.size >= maxPending) return this.#refuse(socket, 503, 'OVERLOADED')
    if (count(this.#pendingByAddress, address) >= maxPendingPerAddress) return this.#refuse(socket, 429, 'RATE_LIMIT_EXCEEDED')
    if (maxConnectionsPerAddress > 0) {
      if (count(this.#openByAddress, address) >= maxConnectionsPerAddress) return this.#refuse(socket, 429, 'RATE_LIMIT_EXCEEDED')
      add(this.#openByAddress, address, 1)
      socket.once('close', () => { add(this.#openByAddress, address, -1) })
    }
    const timer = clock.setTimer(() => { this.#expire(socket) }, handshakeTimeoutMs)
    this.#pending.set(socket, { address, timer })
    add(this.#pendingByAddress, address, 1)
    socket.once('close', this.#onClose)
    this.emit('upgrade', request, socket, head)
  }

  /** The handshake ended: the socket is a WebSocket, or gone. */
  done (socket: Duplex): void {
    const pending = this.#pending.take(socket)
    if (pending === undefined) return
    this.#options.clock.clearTimer(pending.timer)
    add(this.#pendingByAddress, pending.address, -1)
    socket.removeListener('close', this.#onClose)
    socket.removeListener('error', destroy)
  }

  #expire (socket: Duplex): void {
    this.done(socket)
    this.#options.meter.count('handshake_failures_total', 1, 'timeout')
    socket.on('error', destroy)
    socket.destroy()
  }

  #refuse (socket: Duplex, status: number, reason: ErrorCode | 'path'): void {
    this.#options.meter.count('handshake_failures_total', 1, reason)
    const body = reason === 'path' ? '' : JSON.stringify(errorBody(reason))
    const retry = reason !== 'path' && ERRORS[reason].retryable ? `Retry-After: ${this.#options.retryAfterSeconds()}\r\n` : ''
    const type = body === '' ? '' : 'Content-Type: application/json; charset=utf-8\r\n'
    // RFC 9110 section 15.5.22: a 426 names what is wanted.
    const upgrade = status === 426 ? 'Upgrade: websocket\r\n' : ''
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nConnection: close\r\n${type}${retry}${upgrade}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
    // A peer that never reads its answer nor closes does not keep the socket.
    const timer = this.#options.clock.setTimer(() => { socket.destroy() }, this.#options.handshakeTimeoutMs)
    socket.once('close', () => { this.#options.clock.clearTimer(timer) })
    socket.resume()
  }
}

function destroy (this: Duplex): void {
  this.destroy()
}

function count (map: Map<string, number>, key: string): number {
  return map.get(key) ?? 0
}

function add (map: Map<string, number>, key: string, by: number): void {
  const value = count(map, key) + by
  if (value === 0) map.delete(key)
  else map.set(key, value)
}

/** One client's key: the address, of IPv6 its /64, for one host has all of that. IPv4-mapped IPv6 counts as IPv4. */
export function addressKey (address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  if (mapped?.[1] !== undefined) return mapped[1]
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const after = tail === '' ? [] : tail.split(':')
    while (groups.length < 8 - after.length) groups.push('0')
    groups.push(...after)
  }
  return `${groups.slice(0, 4).map((group) => group.replace(/^0+(?=.)/, '').toLowerCase()).join(':')}::/64`
}
