/** The conversations of a person, as tabs: arrow keys, Home and End go from one to the next. */
import { isGroup, titleOf, type Person } from './person.ts'
import type { Room } from './room.ts'

export interface TabsProps { readonly room: Room, readonly person: Person, readonly id: string }

const STEPS: Readonly<Record<string, number>> = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }

export function Tabs ({ room, person, id }: TabsProps) {
  const peers = room.peersOf(person)
  const place = Math.max(0, peers.indexOf(person.peer))
  const move = (event: KeyboardEvent & { readonly currentTarget: HTMLElement }): void => {
    const step = STEPS[event.key]
    if (step === undefined) return
    event.preventDefault()
    const next = Number.isFinite(step) ? (place + step + peers.length) % peers.length : step < 0 ? 0 : peers.length - 1
    person.open(peers[next] ?? person.peer)
    event.currentTarget.querySelectorAll<HTMLElement>('[role=tab]')[next]?.focus()
  }
  return (
    <div class='tabs' role='tablist' aria-label={`Conversations of ${person.name}`} onKeyDown={move}>
      {peers.map((peer, i) => {
        const { length: unread } = person.conversation(peer).unread
        return (
          <button
            key={peer} type='button' role='tab' id={`${id}-tab-${peer}`} aria-controls={`${id}-open`}
            aria-selected={i === place} tabIndex={i === place ? 0 : -1} onClick={() => { person.open(peer) }}
          >
            {isGroup(peer) ? <span class='hash' aria-hidden='true'>#</span> : <span class='presence' data-online={room.isOnline(peer)} aria-hidden='true' />}
            <span class='name'>{titleOf(peer)}</span>
            <span class='hidden'>{isGroup(peer) ? ', group' : room.isOnline(peer) ? ', online' : ', offline'}</span>
            {unread > 0 && <span class='unread'>{unread}<span class='hidden'> unread</span></span>}
          </button>
        )
      })}
    </div>
  )
}
