/**
 * Calls between two processes over a line that carries whole messages in order. A call is answered, fails with what the
 * other side says, or is given up after its time; the other side may be gone at any moment.
 */
import type { Clock, Timer } from '../ports.ts'

/** What the other side may call, by name. Arguments and results are copied as structured clones are. */
export type Handlers = Readonly<Record<string, (argument: never) => unknown>>

export interface ChannelOptions {
  readonly clock: Clock
  /** Hands a message to the line. Throws where the other side is gone. */
  readonly send: (message: object) => void
  readonly handlers: Handlers
}

type Message =
  | { readonly kind: 'call', readonly id: number, readonly name: string, readonly argument: unknown }
  | { readonly kind: 'result', readonly id: number, readonly value: unknown }
  | { readonly kind: 'failure', readonly id: number, readonly text: string }

interface Pending { resolve (value: unknown): void, reject (error: Error): void, readonly timer: Timer }

export class Channel {
  readonly #options: ChannelOptions
  readonly #pending = new Map<number, Pending>()
  #lastId = 0
  #closed = false

  constructor (options: ChannelOptions) {
    this.#options = options
  }

  /** Rejects where the other side fails, is gone, or does not answer in time. */
  call<T> (name: string, timeoutMs: number, argument?: unknown): Promise<T> {
    const { clock } = this.#options
    return new Promise<unknown>((resolve, reject) => {
      if (this.#closed) {
        reject(new Error('the other process is gone'))
        return
      }
      const id = ++this.#lastId
      const timer = clock.setTimer(() => { this.#take(id)?.reject(new Error(`${name} was not answered in ${timeoutMs} ms`)) }, timeoutMs)
      this.#pending.set(id, { resolve, reject, timer })
      this.#send({ kind: 'call', id, name, argument })
    }) as Promise<T>
  }

  /** A message from the line. What is none of ours is passed over. */
  receive (message: unknown): void {
    if (!isMessage(message)) return
    if (message.kind === 'call') void this.#serve(message.id, message.name, message.argument)
    else if (message.kind === 'result') this.#take(message.id)?.resolve(message.value)
    else this.#take(message.id)?.reject(new Error(message.text))
  }

  /** The other side is gone: what waits for it fails. */
  close (): void {
    this.#closed = true
    for (const id of [...this.#pending.keys()]) this.#take(id)?.reject(new Error('the other process is gone'))
  }

  async #serve (id: number, name: string, argument: unknown): Promise<void> {
    const handler = Object.hasOwn(this.#options.handlers, name) ? this.#options.handlers[name] : undefined
    try {
      if (handler === undefined) throw new Error(`there is no ${name}`)
      this.#send({ kind: 'result', id, value: await handler(argument as never) })
    } catch (error) {
      this.#send({ kind: 'failure', id, text: error instanceof Error ? error.message : String(error) })
    }
  }

  #take (id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    if (pending === undefined) return undefined
    this.#pending.delete(id)
    this.#options.clock.clearTimer(pending.timer)
    return pending
  }

  #send (message: Message): void {
    if (this.#closed) return
    try {
      this.#options.send(message)
    } catch {
      this.close()
    }
  }
}

function isMessage (message: unknown): message is Message {
  if (typeof message !== 'object' || message === null) return false
  const { kind, id } = message as Partial<Message>
  return typeof id === 'number' && (kind === 'call' || kind === 'result' || kind === 'failure')
}
