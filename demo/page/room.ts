/** Everything that the page shows: its people, what the demo tells live, what happened. */
import type { Delivered, LiveState, NodeState } from '../live-state.ts'
import { Latency } from './latency.ts'
import { isGroup, Person, titleOf, type PersonHost } from './person.ts'
import { makeNodeFault, makeUserFault } from './services.ts'
import { SmallTalk } from './small-talk.ts'

export interface News { readonly id: number, readonly at: number, readonly text: string }

/** With whom they talk at first. */
const FIRST_PEOPLE = [['alice', 'bob'], ['bob', 'alice'], ['carol', 'group_friends']] as const
export const MAX_PEOPLE = 8
const MAX_NEWS = 30
/** Sent from this page and not received yet. */
const MAX_UNDER_WAY = 1_000

export class Room {
  readonly people: Person[] = []
  readonly latency = new Latency()
  readonly talk = new SmallTalk(this)
  /** Newest first. */
  news: readonly News[] = []
  accepted = 0
  live: LiveState = { nodes: [], devices: [], groups: [], slow: [] }
  /** Whether the demo tells; otherwise what is shown is old. */
  isLive = false
  readonly onChange: () => void
  readonly #deviceId = `page-${crypto.randomUUID().slice(0, 8)}`
  readonly #startedMs = new Map<string, number>()
  #lastNews = 0

  /** `onChange`: something is to be drawn anew. */
  constructor (onChange: () => void) {
    this.onChange = onChange
  }

  /** Connects everybody. */
  start (): void {
    for (const [name, peer] of FIRST_PEOPLE) this.add(name, peer)
    const events = new EventSource('/events')
    events.addEventListener('state', ({ data }) => { this.#show(JSON.parse(String(data)) as LiveState) })
    events.addEventListener('delivered', ({ data }) => { this.#delivered(JSON.parse(String(data)) as Delivered) })
    events.addEventListener('error', () => {
      this.isLive = false
      this.onChange()
    })
    window.addEventListener('online', () => { for (const { client } of this.people) client.foreground() })
  }

  add (name: string, peer = this.people[0]?.name ?? ''): Person {
    const person = new Person(name, this.#deviceId, this.#host())
    person.open(peer)
    this.people.push(person)
    person.client.start()
    this.onChange()
    return person
  }

  /** With whom a person can talk: everybody else, and all groups. */
  peersOf ({ name }: Person): readonly string[] {
    return [...this.people.flatMap((other) => other.name === name ? [] : other.name), ...this.live.groups.map(({ id }) => id)]
  }

  /** undefined: no such group is known. */
  membersOf (group: string): readonly string[] | undefined {
    return this.live.groups.find(({ id }) => id === group)?.members
  }

  /** Who looks from now on. */
  read (person: Person): void {
    if (!person.isReading) {
      for (const each of this.people) each.isReading = each === person
      this.onChange()
    }
    person.read()
  }

  /** The place in the row of a node that serves, from 1 on; undefined: the user's device of this page is not registered. */
  nodeOf (user: string): number | undefined {
    const device = this.live.devices.find((each) => each.user === user && each.device === this.#deviceId)
    const place = this.live.nodes.findIndex(({ id, state }) => id === device?.node && state !== 'down' && state !== 'starting')
    return place === -1 ? undefined : place + 1
  }

  /** Whether any device of the user is registered with a node that serves. */
  isOnline (user: string): boolean {
    return this.live.devices.some((device) => device.user === user && this.live.nodes.some(({ id, state }) => id === device.node && (state === 'up' || state === 'draining')))
  }

  /** Of a node that is up; a button that were disabled would lose the focus to nowhere. */
  nodeFault (node: string, fault: 'kill' | 'drain'): void {
    if (this.live.nodes.find(({ id }) => id === node)?.state !== 'up') return
    makeNodeFault(node, fault).catch((error: unknown) => { this.tell(String(error)) })
  }

  cut (user: string): void {
    makeUserFault(user, 'cut').then(() => { this.tell(`${user}: connection cut`) }, (error: unknown) => { this.tell(String(error)) })
  }

  setSlow (user: string, isSlow: boolean): void {
    makeUserFault(user, isSlow ? 'slow' : 'none').then(() => { this.tell(`${user} reads ${isSlow ? 'slowly' : 'at full speed'}`) }, (error: unknown) => { this.tell(String(error)) })
  }

  tell (text: string): void {
    this.news = [{ id: ++this.#lastNews, at: Date.now(), text }, ...this.news].slice(0, MAX_NEWS)
    this.onChange()
  }

  #host (): PersonHost {
    return {
      onChange: this.onChange,
      onNews: (text) => { this.tell(text) },
      onAccepted: (latencyMs) => {
        this.accepted++
        this.latency.add('accepted', latencyMs, performance.now())
      },
      onSend: (msgId, startedMs) => {
        this.#startedMs.set(msgId, startedMs)
        const [oldest] = this.#startedMs.keys()
        if (this.#startedMs.size > MAX_UNDER_WAY && oldest !== undefined) this.#startedMs.delete(oldest)
      },
      onReceived: (msgId) => {
        const startedMs = this.#startedMs.get(msgId)
        if (startedMs === undefined) return undefined
        const nowMs = performance.now()
        this.latency.add('received', nowMs - startedMs, nowMs)
        return nowMs - startedMs
      },
      othersIn: (peer) => isGroup(peer) ? (this.membersOf(peer)?.length ?? 2) - 1 : 1
    }
  }

  #delivered ({ msg_id: msgId, sender, recipient }: Delivered): void {
    this.people.find(({ name }) => name === sender)?.conversation(recipient).delivered(msgId)
    this.onChange()
  }

  #show (live: LiveState): void {
    const before = new Map(this.live.nodes.map(({ id, state }) => [id, state]))
    for (const [i, { id, state }] of live.nodes.entries()) {
      const old = before.get(id)
      if (old !== undefined && old !== state) this.tell(`Node ${i + 1} ${changeOf(old, state)}`)
    }
    for (const { id } of live.groups) {
      if (this.live.groups.every((group) => group.id !== id) && this.isLive) this.tell(`There is a group “${titleOf(id)}”`)
    }
    this.live = live
    this.isLive = true
    this.onChange()
  }
}

function changeOf (old: NodeState, state: NodeState): string {
  switch (state) {
    case 'up': return 'serves'
    case 'draining': return 'drains: its clients are told, and leave one after the other'
    case 'starting': return 'starts again'
    case 'down': return old === 'up' ? 'was killed: nobody was told' : 'has ended'
  }
}
