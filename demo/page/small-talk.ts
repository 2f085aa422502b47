/** People who talk by themselves, so that there is something to see when a node goes. */
import type { Room } from './room.ts'

const PAUSE_MS = 600
const LINES = [
  'Good morning!', 'Are you there?', 'On my way', 'See you at eight', 'Sounds good', 'Did you get my note?', 'Yes, thank you',
  'One moment, please', 'Lunch?', 'I am on the train', 'Which node are you on?', 'Still connected', 'Haha', 'Let us talk tomorrow'
]

export class SmallTalk {
  readonly #room: Room
  #timer: ReturnType<typeof setInterval> | undefined

  constructor (room: Room) {
    this.#room = room
  }

  get isOn (): boolean { return this.#timer !== undefined }

  toggle (): void {
    if (this.#timer === undefined) this.#timer = setInterval(() => { this.#say() }, PAUSE_MS)
    else {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
    this.#room.onChange()
  }

  #say (): void {
    const speaker = anyOf(this.#room.people)
    if (speaker === undefined) return
    const peers = this.#room.peersOf(speaker).filter((peer) => this.#room.membersOf(peer)?.includes(speaker.name) ?? true)
    const peer = anyOf(peers)
    if (peer !== undefined) speaker.send(peer, anyOf(LINES) ?? '')
  }
}

function anyOf<T> (things: readonly T[]): T | undefined {
  return things[Math.floor(Math.random() * things.length)]
}
