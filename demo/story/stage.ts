/** What the steps of the story share: the world, the people in it, and how they check what they see. */
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { DemoClient, type ClientOptions, type ServerFrame } from '../client.ts'
import type { Gateway } from '../gateway.ts'
import type { World } from '../world.ts'

export interface HistoryEntry { readonly msg_id: string, readonly sender: string, readonly content: string, readonly sequence_number: number }

export class Stage {
  readonly world: World
  /** Those that serve, the first one to the end. */
  readonly gateways: Gateway[]
  /** Sets this run's names apart from those of other runs on the same services. */
  readonly run: string
  readonly #clients = new Set<DemoClient>()
  /** By person and device: whoever a later step still needs. */
  readonly #seated = new Map<string, DemoClient>()

  constructor (world: World, gateways: readonly Gateway[], run: string) {
    this.world = world
    this.gateways = [...gateways]
    this.run = run
  }

  /** The gateway of all steps that name none. */
  get gateway (): Gateway {
    return this.node(0)
  }

  node (index: number): Gateway {
    const gateway = this.gateways[index]
    if (gateway === undefined) throw new Error(`there is no node ${index}`)
    return gateway
  }

  /** A user id of this run. */
  user (name: string): string {
    return `${name}-${this.run}`
  }

  group (name: string): string {
    return `group_${name}-${this.run}`
  }

  msgId (): string {
    return randomUUID()
  }

  /** Connects a person's device with a fresh token. */
  async connect (name: string, device: string, options: Partial<ClientOptions> = {}): Promise<DemoClient> {
    this.world.users.addUser(this.user(name))
    const token = options.token ?? this.world.auth.mint(this.user(name), device).accessToken
    const client = await DemoClient.connect({ url: this.gateway.url, ...options, token })
    this.#clients.add(client)
    return client
  }

  /** The same, for later steps to find. */
  async seat (name: string, device: string, options: Partial<ClientOptions> = {}): Promise<DemoClient> {
    const client = await this.connect(name, device, options)
    this.#seated.set(`${name} ${device}`, client)
    return client
  }

  seated (name: string, device: string): DemoClient {
    const client = this.#seated.get(`${name} ${device}`)
    if (client === undefined) throw new Error(`${name} has no ${device} here`)
    return client
  }

  async history (name: string, conversation: string, after: number): Promise<HistoryEntry[]> {
    const query = new URLSearchParams({ conversation, after: String(after) })
    const body = await this.#http(name, 'GET', `/history?${query.toString()}`) as { messages: HistoryEntry[] }
    return body.messages
  }

  async post (name: string, path: string, body?: object): Promise<void> {
    await this.#http(name, 'POST', path, body)
  }

  /** Asks again until it is so; rejects after the deadline, naming what was waited for. */
  async until (what: string, isSo: () => Promise<boolean> | boolean, timeoutMs = 5_000): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (!await isSo()) {
      if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`)
      await pause(20)
    }
  }

  /** Ends every socket of this run. */
  async close (): Promise<void> {
    await Promise.allSettled([...this.#clients].map((client) => client.isOpen ? client.close() : undefined))
  }

  async #http (name: string, method: string, path: string, body?: object): Promise<unknown> {
    const { accessToken } = this.world.auth.mint(this.user(name))
    const response = await fetch(this.world.httpUrl + path, {
      method,
      headers: { authorization: `Bearer ${accessToken}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(5_000)
    })
    if (!response.ok) throw new Error(`${method} ${path} was answered with ${response.status}`)
    return response.status === 204 || response.status === 201 ? undefined : await response.json()
  }
}

/** Throws, naming both, where they differ. */
export function same (actual: unknown, expected: unknown, what: string): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)]
  if (a !== b) throw new Error(`${what}: expected ${b}, got ${a}`)
}

export function check (isSo: boolean, what: string): void {
  if (!isSo) throw new Error(what)
}

/** Rejects unless the promise does; resolves to what it rejected with. */
export async function refusal (promise: Promise<unknown>, what: string): Promise<Error> {
  return await promise.then(() => { throw new Error(`${what} was not refused`) }, (error: unknown) => error instanceof Error ? error : new Error(String(error)))
}

/** The message on every one of these devices. */
export async function onAll (clients: readonly DemoClient[], msgId: string): Promise<ServerFrame[]> {
  return await Promise.all(clients.map((client) => client.message(msgId)))
}
