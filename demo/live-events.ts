/** What the page is told as it happens, by server-sent events: the nodes and who is where, and which messages were delivered. */
import type { ServerResponse } from 'node:http'
import type { Clock, Timer } from '../src/ports.ts'
import type { Delivered, LiveState } from './live-state.ts'

export interface LiveEventsOptions {
  readonly state: () => LiveState
  readonly clock: Clock
}

/** How often the state is looked at while anybody listens. */
const LOOK_MS = 200
const MAX_LISTENERS = 50
/** Whoever does not read is let go: the browser comes back by itself. */
const MAX_UNREAD_BYTES = 1_000_000
const HEADERS = { 'content-type': 'text/event-stream', 'cache-control': 'no-store' }

export class LiveEvents {
  readonly #options: LiveEventsOptions
  readonly #listeners = new Set<ServerResponse>()
  #timer: Timer | undefined
  /** What the listeners know. */
  #told = ''

  constructor (options: LiveEventsOptions) {
    this.#options = options
  }

  get isFull (): boolean { return this.#listeners.size >= MAX_LISTENERS }

  /** Tells the state at once, and everything from now on. */
  add (response: ServerResponse): void {
    response.writeHead(200, HEADERS)
    this.#look()
    write(response, 'state', this.#told)
    this.#listeners.add(response)
    response.on('close', () => { this.#listeners.delete(response) })
  }

  delivered (delivered: Delivered): void {
    this.#tell('delivered', JSON.stringify(delivered))
  }

  close (): void {
    for (const response of this.#listeners) response.destroy()
    if (this.#timer !== undefined) this.#options.clock.clearTimer(this.#timer)
  }

  #look (): void {
    const { state, clock } = this.#options
    const text = JSON.stringify(state())
    if (text !== this.#told) {
      this.#told = text
      this.#tell('state', text)
    }
    this.#timer ??= clock.setTimer(() => {
      this.#timer = undefined
      if (this.#listeners.size > 0) this.#look()
    }, LOOK_MS)
  }

  #tell (event: string, data: string): void {
    for (const response of this.#listeners) write(response, event, data)
  }
}

function write (response: ServerResponse, event: string, data: string): void {
  if (response.writableLength > MAX_UNREAD_BYTES) response.destroy()
  else response.write(`event: ${event}\ndata: ${data}\n\n`)
}
