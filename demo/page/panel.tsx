/** One person: the connection, the conversations, and what can befall the connection. */
import { useRef } from 'preact/hooks'
import { millis, Messages } from './messages.tsx'
import { isGroup, titleOf, type Person } from './person.ts'
import type { Room } from './room.ts'
import { Tabs } from './tabs.tsx'

export interface PanelProps { readonly room: Room, readonly person: Person, readonly place: number }

const MAX_CONTENT = 2_000
const HUES = 6

export function Panel ({ room, person, place }: PanelProps) {
  const { name, peer } = person
  const id = `person-${place}`
  const isSlow = room.live.slow.includes(name)
  const members = isGroup(peer) ? room.membersOf(peer) ?? [] : undefined
  const isMember = members?.includes(name) ?? true
  return (
    <section
      class='panel' id={id} data-hue={place % HUES} data-reading={person.isReading} aria-labelledby={`${id}-name`} tabIndex={-1}
      onFocusIn={() => { room.read(person) }} onPointerDown={() => { room.read(person) }}
    >
      <header>
        <span class='avatar' aria-hidden='true'>{name.slice(0, 1).toUpperCase()}</span>
        <div class='who'>
          <h2 id={`${id}-name`}>{name}</h2>
          <p class='state' data-state={person.state}>{stateOf(room, person)}</p>
        </div>
        <button type='button' aria-pressed={isSlow} title='The way to this client takes 0.8 s for each piece' onClick={() => { room.setSlow(name, !isSlow) }}>Slow<span class='hidden'> {name}</span></button>
        <button type='button' class='danger' title='The connection breaks without a word' onClick={() => { room.cut(name) }}>Cut<span class='hidden'> {name}</span></button>
      </header>
      <Tabs room={room} person={person} id={id} />
      <div class='open' role='tabpanel' id={`${id}-open`} aria-labelledby={`${id}-tab-${peer}`}>
        {members !== undefined && (
          <p class='members'>
            <span>{members.length === 0 ? 'Nobody is in' : members.join(', ')}</span>
            {isMember && <button type='button' onClick={() => { change(room, person, 'leave') }}>Leave</button>}
          </p>
        )}
        <Messages room={room} person={person} conversation={person.conversation(peer)} />
        {isMember
          ? <Composer person={person} />
          : <p class='composer'><button type='button' class='primary' onClick={() => { change(room, person, 'join') }}>Join {titleOf(peer)}</button></p>}
      </div>
    </section>
  )
}

function Composer ({ person }: { readonly person: Person }) {
  const input = useRef<HTMLInputElement>(null)
  const send = (event: Event): void => {
    event.preventDefault()
    const content = input.current?.value.trim() ?? ''
    if (input.current === null || content === '') return
    input.current.value = ''
    person.send(person.peer, content)
  }
  return (
    <form class='composer' onSubmit={send}>
      <input
        ref={input} type='text' autoComplete='off' enterKeyHint='send' maxLength={MAX_CONTENT}
        placeholder={`Message ${titleOf(person.peer)}`} aria-label={`Message from ${person.name} to ${titleOf(person.peer)}`}
      />
      <button type='submit' class='primary'>Send</button>
    </form>
  )
}

function stateOf (room: Room, { name, state, client, lastAcceptedMs }: Person): string {
  const waiting = client.waiting > 0 ? ` · ${client.waiting} waiting` : ''
  const ack = lastAcceptedMs === undefined ? '' : ` · ack ${millis(lastAcceptedMs)}`
  switch (state) {
    case 'open': {
      const node = room.nodeOf(name)
      return `${node === undefined ? 'online' : `node ${node}`}${waiting === '' ? ack : waiting}`
    }
    case 'ended': return 'ended: reload the page'
    case 'waiting': return `reconnecting soon${waiting}`
    case 'paused': return `paused${waiting}`
    case 'idle':
    case 'connecting': return `connecting${waiting}`
  }
}

function change (room: Room, person: Person, what: 'join' | 'leave'): void {
  const { peer, name, services } = person
  services[what](peer).then(() => {
    room.tell(`${name} ${what === 'join' ? 'joined' : 'left'} ${titleOf(peer)}`)
    if (what === 'join') void person.load(peer)
  }, (error: unknown) => { room.tell(String(error)) })
}
