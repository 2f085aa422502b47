/**
 * Thousands of people with the reference client, each with a friend and some with a group, who write at a steady rate.
 * Afterwards it can be said of every message who should have seen it, and who did.
 */
import WebSocket from 'ws'
import { ImClient, type Message, type SocketConstructor } from '../../client/src/index.ts'
import { conversationOf, type StoredMessage } from '../../demo/stores/message-store.ts'
import type { World } from '../../demo/world.ts'
import type { Outside } from '../../demo/outside.ts'
import { eventually } from './bus-conformance.ts'

export interface PopulationOptions {
  readonly world: World
  readonly outside: Outside
  readonly run: string
  readonly people: number
  readonly groups: number
  readonly groupSize: number
  /** `ws://…/ws` of the nodes that take clients now. */
  readonly urls: () => readonly string[]
  /** The socket of a person's device. Default: that of `ws`. */
  readonly socket?: (userId: string, deviceId: string) => SocketConstructor
  readonly onGroup?: (groupId: string, userIds: readonly string[]) => void
  /** Of the clients' pauses; 0 up to 1. */
  readonly random?: () => number
}

interface Person { readonly id: string, readonly client: ImClient, readonly shown: Map<string, number[]>, duplicates: number }

export interface Verdict {
  readonly accepted: number
  /** Accepted, and not shown to somebody who should have seen it. */
  readonly lost: number
  readonly duplicates: number
  readonly outOfOrder: number
  /** Times that somebody came back. */
  readonly returns: number
}

const TICK_MS = 20
/** Messages that wait to be accepted; on a machine that cannot take more a second, fewer are written. */
const MAX_WAITING = 2_000
const SEND_TIMEOUT_MS = 120_000
const PAGE = 200
const CONNECT_AT_ONCE = 100

export class Population {
  readonly #options: PopulationOptions
  readonly #people: Person[] = []
  readonly #groups: string[] = []
  readonly #members = new Map<string, readonly number[]>()
  /** By conversation: who is to see what, and the numbers that were accepted. */
  readonly #accepted = new Map<string, { readonly audience: readonly number[], readonly numbers: Map<number, string> }>()
  #sent: Array<Promise<void>> = []
  #waiting = 0
  #attempts = 0
  #turn = 0

  constructor (options: PopulationOptions) {
    this.#options = options
    const { people, groups, groupSize, world } = options
    for (let i = 0; i < people; i++) this.#people.push(this.#person(i))
    for (let g = 0; g < groups; g++) {
      const id = `group_${g}-${options.run}`
      const members = Array.from({ length: groupSize }, (_, i) => (g * groupSize + i) % people)
      this.#groups.push(id)
      this.#members.set(id, members)
      const userIds = members.map((i) => this.#at(i).id)
      world.users.createGroup(id, userIds)
      options.onGroup?.(id, userIds)
    }
  }

  /** Connects everybody, some at a time, and lets every conversation begin. */
  async open (patienceMs: number): Promise<void> {
    for (let at = 0; at < this.#people.length; at += CONNECT_AT_ONCE) {
      const some = this.#people.slice(at, at + CONNECT_AT_ONCE)
      for (const { client } of some) client.start()
      await eventually(() => some.every(({ client }) => client.state === 'open'), patienceMs)
    }
    for (let i = 0; i < this.#people.length; i++) this.#toFriend(i)
    for (const group of this.#groups) this.#toGroup(group)
    await this.#settled()
    await eventually(() => this.#missing() === 0, patienceMs)
  }

  /** Writes so many messages a second until `during` is over; resolves to their number when the last of them is accepted. Rejects where one was refused. */
  async write (perSecond: number, during: Promise<unknown>): Promise<number> {
    let last = performance.now()
    let due = 0
    let count = 0
    const timer = setInterval(() => {
      const now = performance.now()
      due = Math.min(due + (now - last) * perSecond / 1000, perSecond)
      last = now
      for (; due >= 1 && this.#waiting < MAX_WAITING; due--, count++) this.#next()
    }, TICK_MS)
    try {
      await during
    } finally {
      clearInterval(timer)
    }
    await this.#settled()
    return count
  }

  /** Messages that were written so far, whatever became of them. */
  get written (): number { return this.#turn }

  /** Share of the people who are connected. */
  get openShare (): number { return this.#people.filter(({ client }) => client.state === 'open').length / this.#people.length }

  get isOpen (): boolean { return this.#people.every(({ client }) => client.state === 'open') }

  /** One last word in each conversation shows whoever lacks something that he does; then all is compared. */
  async verdict (patienceMs: number): Promise<Verdict> {
    await eventually(() => this.isOpen, patienceMs)
    for (let i = 0; i < this.#people.length; i++) this.#toFriend(i)
    for (const group of this.#groups) this.#toGroup(group)
    await this.#settled()
    await eventually(() => this.#missing() === 0, patienceMs).catch(() => {})
    let outOfOrder = 0
    for (const { shown } of this.#people) {
      for (const numbers of shown.values()) for (let i = 1; i < numbers.length; i++) outOfOrder += Number((numbers[i - 1] as number) >= (numbers[i] as number))
    }
    return {
      accepted: [...this.#accepted.values()].reduce((sum, { numbers }) => sum + numbers.size, 0),
      lost: this.#missing(),
      duplicates: this.#people.reduce((sum, { duplicates }) => sum + duplicates, 0),
      outOfOrder,
      returns: this.#people.reduce((sum, { client }) => sum + client.sessions - 1, 0)
    }
  }

  /** Forgets what everybody has seen, so that a long run becomes no slower: of each conversation the last number is kept. */
  forget (): void {
    for (const { numbers } of this.#accepted.values()) numbers.clear()
    for (const { shown } of this.#people) for (const numbers of shown.values()) numbers.splice(0, numbers.length - 1)
  }

  close (): void {
    for (const { client } of this.#people) client.close()
  }

  #next (): void {
    const turn = this.#turn++
    const group = turn % 10 === 0 ? this.#groups[(turn / 10) % this.#groups.length] : undefined
    // A step that shares no factor with the number of people, so that all have their turn.
    if (group === undefined) this.#toFriend((turn * 7) % this.#people.length)
    else this.#toGroup(group)
  }

  #toFriend (i: number): void {
    const [me, friend] = [this.#at(i), this.#at(i + 1)]
    this.#send(i, friend.id, conversationOf(me.id, friend.id, false), [(i + 1) % this.#people.length])
  }

  #toGroup (group: string): void {
    const members = this.#members.get(group) ?? []
    const sender = members[this.#turn % members.length] as number
    this.#send(sender, group, group, members)
  }

  #send (sender: number, recipient: string, conversation: string, audience: readonly number[]): void {
    let log = this.#accepted.get(conversation)
    if (log === undefined) this.#accepted.set(conversation, log = { audience, numbers: new Map() })
    const { numbers } = log
    const { client, id } = this.#at(sender)
    this.#waiting++
    const sent = client.send(recipient, 'hi').then(({ sequenceNumber }) => { numbers.set(sequenceNumber, id) }).finally(() => { this.#waiting-- })
    // Told by `#settled`.
    sent.catch(() => {})
    this.#sent.push(sent)
  }

  async #settled (): Promise<void> {
    const sent = this.#sent
    this.#sent = []
    await Promise.all(sent)
  }

  /** Who should have seen what and has not, counted; the sender of a message has it. */
  #missing (): number {
    let missing = 0
    for (const [conversation, { audience, numbers }] of this.#accepted) {
      for (const i of audience) {
        const { id, shown } = this.#at(i)
        const seen = new Set(shown.get(conversation))
        for (const [number, sender] of numbers) missing += Number(sender !== id && !seen.has(number))
      }
    }
    return missing
  }

  #at (i: number): Person {
    return this.#people[i % this.#people.length] as Person
  }

  #person (i: number): Person {
    const { world, outside, run, urls, socket, random } = this.#options
    const id = `u${i}-${run}`
    world.users.addUser(id)
    const shown = new Map<string, number[]>()
    const nameOf = (peer: string): string => peer.startsWith('group_') ? peer : conversationOf(id, peer, false)
    const person: Person = {
      id,
      shown,
      duplicates: 0,
      client: new ImClient({
        url: () => urls()[this.#attempts++ % urls().length] ?? 'ws://127.0.0.1:1/ws',
        token: () => world.auth.mint(id, 'phone').accessToken,
        WebSocket: socket?.(id, 'phone') ?? WebSocket as unknown as SocketConstructor,
        sendTimeoutMs: SEND_TIMEOUT_MS,
        ...(random !== undefined && { random }),
        history: async (peer, after) => (await outside.store.history(nameOf(peer), BigInt(after), PAGE)).map(messageOf),
        onMessage: ({ sequenceNumber }, peer) => {
          const numbers = shown.get(nameOf(peer)) ?? []
          if (numbers.includes(sequenceNumber)) person.duplicates++
          numbers.push(sequenceNumber)
          shown.set(nameOf(peer), numbers)
        }
      })
    }
    return person
  }
}

function messageOf ({ msgId, senderId, recipientId, content, messageType, metadata, acceptedAtMs, sequenceNumber }: StoredMessage): Message {
  return { msgId, sender: senderId, recipient: recipientId, content, messageType, metadata, timestamp: acceptedAtMs, sequenceNumber: Number(sequenceNumber) }
}
