/** The clients that keep to the protocol: half of the pairs write to each other, the others are idle. */
import type { Stage } from './stage.ts'
import { SKEW_MS, VirtualClient } from './virtual-client.ts'

/** Messages of one client that may wait for their acceptance; a client that has more writes no further. */
const MAX_WAITING = 10
const TICK_MS = 20

export class Population {
  readonly #stage: Stage
  readonly #connectsPerSecond: number
  /** Begins the ids of this run's messages. */
  readonly #run: string
  readonly #clients: VirtualClient[] = []
  #turn = 0

  constructor (stage: Stage, run: string, connectsPerSecond: number) {
    this.#stage = stage
    this.#run = run
    this.#connectsPerSecond = connectsPerSecond
  }

  get size (): number { return this.#clients.length }
  get open (): number { return this.#clients.filter(({ isOpen }) => isOpen).length }
  get isOpen (): boolean { return this.#clients.every(({ isOpen }) => isOpen) }

  /** Starts or closes clients until there are so many; an even number. */
  async resize (size: number): Promise<void> {
    for (const client of this.#clients.splice(size)) client.close()
    while (this.#clients.length < size) {
      const index = this.#clients.length
      const client = new VirtualClient(this.#stage, { user: this.#stage.user(index), skewMs: index === 0 ? SKEW_MS : 0 })
      this.#clients.push(client)
      client.start()
      await this.#stage.pause(1_000 / this.#connectsPerSecond)
    }
  }

  /** Writes so many messages a second until `during` is over; resolves to how many it has written, and should have. */
  async talk (perSecond: number, during: Promise<unknown>): Promise<{ readonly sent: number, readonly planned: number }> {
    const { clock } = this.#stage
    const writers = this.#clients.filter((_, index) => index % 4 < 2)
    const startedAtMs = clock.monotonicMs()
    let [sent, planned] = [0, 0]
    const end = new AbortController()
    const over = during.finally(() => { end.abort() })
    // Told below; a pause may be called off at the same time.
    over.catch(() => {})
    while (!end.signal.aborted) {
      const due = Math.floor((clock.monotonicMs() - startedAtMs) / 1_000 * perSecond)
      for (; planned < due; planned++) if (this.#write(writers)) sent++
      await this.#stage.pause(TICK_MS)
    }
    await over
    return { sent, planned }
  }

  /** False where the one whose turn it is has enough under way. */
  #write (writers: readonly VirtualClient[]): boolean {
    const index = this.#turn++ % writers.length
    const [writer, peer] = [writers[index], writers[index ^ 1]]
    if (writer === undefined || peer === undefined || writer.waiting >= MAX_WAITING) return false
    void writer.send(peer.user, `${this.#run}-${index}`)
    return true
  }

  /** Waits until what was sent has its outcome and has come, as long as that may take. */
  async quiet (): Promise<void> {
    const { ledger, limits } = this.#stage
    await this.#stage.until(() => this.#clients.every(({ waiting }) => waiting === 0) && ledger.missing === 0, limits.settleWithinMs)
    for (const client of this.#clients) client.checkPing()
  }

  cut (): void {
    for (const client of this.#clients) client.cut()
  }

  close (): void {
    for (const client of this.#clients.splice(0)) client.close()
  }
}
