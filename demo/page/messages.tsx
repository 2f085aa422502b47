/** A conversation's messages, the latest at the bottom. */
import { useLayoutEffect, useRef } from 'preact/hooks'
import type { Conversation, Entry } from './conversation.ts'
import { isGroup, type Person } from './person.ts'
import type { Room } from './room.ts'

export interface MessagesProps { readonly room: Room, readonly person: Person, readonly conversation: Conversation }

/** Nearer to the end than this is at the end. */
const NEAR_PX = 40
const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })

export function Messages ({ room, person, conversation }: MessagesProps) {
  const log = useRef<HTMLDivElement>(null)
  const isAtEnd = useRef(true)
  const { entries } = conversation
  const { length } = entries
  useLayoutEffect(() => { isAtEnd.current = true }, [conversation])
  useLayoutEffect(() => {
    if (isAtEnd.current && log.current !== null) log.current.scrollTop = log.current.scrollHeight
  }, [conversation, length, entries.at(-1)?.msgId])
  return (
    <div
      class='messages' ref={log} role='log' aria-live={person.isReading ? 'polite' : 'off'} tabIndex={0}
      aria-label={`Messages of ${person.name}`}
      onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => { isAtEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_PX }}
    >
      {length === 0 && <p class='empty'>No messages yet</p>}
      {entries.map((entry) => (
        <article key={entry.msgId} class='message' data-own={entry.isOwn} data-unread={!entry.isRead}>
          {!entry.isOwn && isGroup(conversation.id) && <span class='sender'>{entry.sender}</span>}
          <p class='content'>{entry.content}</p>
          <p class='meta'>
            <time dateTime={new Date(entry.at).toISOString()}>{TIME.format(entry.at)}</time>
            {entry.latencyMs !== undefined && <span>{millis(entry.latencyMs)}</span>}
            {entry.isOwn && entry.error === undefined && <Ticks entry={entry} others={isGroup(conversation.id) ? (room.membersOf(conversation.id)?.length ?? 1) - 1 : 1} />}
          </p>
          {entry.error !== undefined && (
            <p class='refused'>
              Not sent: {entry.error} <button type='button' onClick={() => { person.sendAgain(conversation.id, entry) }}>Send again</button>
            </p>
          )}
        </article>
      ))}
    </div>
  )
}

function Ticks ({ entry: { tick, readers }, others }: { readonly entry: Entry, readonly others: number }) {
  const words = tick !== 'read' && readers.size > 0 ? `read by ${readers.size} of ${others}` : tick
  return (
    <span class='ticks' data-tick={tick} title={words}>
      {others > 1 && readers.size > 0 && <span aria-hidden='true'>{readers.size}/{others}</span>}
      <svg viewBox='0 0 20 12' width='20' height='12' aria-hidden='true'>
        {tick === 'waiting'
          ? <path d='M10 1.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9M10 3.6V6l1.8 1.2' />
          : <path d={tick === 'accepted' ? 'm5 6.5 3.2 3.2L15.4 2.2' : 'm1 6.5 3.2 3.2L11.4 2.2M8.4 9l.8.7L16.4 2.2'} />}
      </svg>
      <span class='hidden'>{words}</span>
    </span>
  )
}

export function millis (ms: number): string {
  if (ms >= 1_000) return `${(ms / 1_000).toFixed(1)} s`
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
}
