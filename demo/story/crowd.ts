/** People with the reference client who talk to each other while nodes come and go. */
import { setTimeout as pause } from 'node:timers/promises'
import WebSocket from 'ws'
import { ImClient, type Message, type SocketConstructor } from '../../client/src/index.ts'
import { conversationOf } from '../stores/message-store.ts'
import { same, type Stage } from './stage.ts'

const PAUSE_MS = 20

interface Person { readonly name: string, readonly client: ImClient, readonly heard: number[], sent: number }

export class Crowd {
  readonly #stage: Stage
  readonly #people: readonly Person[]
  #attempts = 0

  /** Each of them connects to one of the stage's gateways, and to another one when that is gone. */
  constructor (stage: Stage, name: string, size: number) {
    this.#stage = stage
    this.#people = Array.from({ length: size }, (_, i) => this.#person(`${name}${i}`))
  }

  async open (): Promise<void> {
    for (const { client } of this.#people) client.start()
    await this.#stage.until('everybody is connected', () => this.#people.every(({ client }) => client.state === 'open'))
  }

  /** Each says numbers to the next, until `during` is over and everything was accepted. */
  async talk (during: Promise<unknown>): Promise<void> {
    const over = new AbortController()
    await Promise.all([during.finally(() => { over.abort() }), ...this.#people.map(async (person, i) => {
      const next = this.#people[(i + 1) % this.#people.length]
      const accepted: Array<Promise<unknown>> = []
      while (!over.signal.aborted) {
        accepted.push(person.client.send(this.#stage.user(next?.name ?? ''), String(++person.sent)))
        await pause(PAUSE_MS)
      }
      await Promise.all(accepted)
    })])
  }

  /** Everybody has heard every number once and in order. */
  async check (timeoutMs: number): Promise<void> {
    const speakerOf = (i: number): Person => this.#people[(i + this.#people.length - 1) % this.#people.length] as Person
    await this.#stage.until('everything is heard', () => this.#people.every(({ heard }, i) => heard.length >= speakerOf(i).sent), timeoutMs)
    for (const [i, { name, heard }] of this.#people.entries()) {
      same(heard, Array.from({ length: speakerOf(i).sent }, (_, n) => n + 1), `what ${name} heard`)
    }
  }

  /** How often somebody had to come back. */
  get returns (): number {
    return this.#people.reduce((sum, { client }) => sum + client.sessions - 1, 0)
  }

  close (): void {
    for (const { client } of this.#people) client.close()
  }

  #person (name: string): Person {
    const stage = this.#stage
    const me = stage.user(name)
    stage.world.users.addUser(me)
    const heard: number[] = []
    const client = new ImClient({
      url: () => stage.node(this.#attempts++ % stage.gateways.length).url,
      token: () => stage.world.auth.mint(me, 'phone').accessToken,
      WebSocket: WebSocket as unknown as SocketConstructor,
      history: async (peer, after) => (await stage.history(name, conversationOf(me, peer, false), after)).map((entry): Message => ({
        msgId: entry.msg_id, sender: entry.sender, recipient: entry.sender === me ? peer : me, content: entry.content, messageType: 'text', metadata: {}, timestamp: 0, sequenceNumber: entry.sequence_number
      })),
      onMessage: ({ sender, content }) => { if (sender !== me) heard.push(Number(content)) }
    })
    return { name, client, heard, sent: 0 }
  }
}
