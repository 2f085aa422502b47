/**
 * Plays the cases of a target to a node and looks whether it bears them: nothing ends it, every socket is let go, no error
 * is logged, who does nothing wrong is served as before, and nothing is left behind.
 */
import { setTimeout as pause } from 'node:timers/promises'
import fc from 'fast-check'
import { frames } from './frames.ts'
import { grpc } from './grpc.ts'
import { HelperProcess } from './helper-process.ts'
import type { Peace } from './neighbour.ts'
import type { Figures } from './node-under-fuzz.ts'
import { bytes, upgrades } from './raw.ts'
import { etcd, kafka } from './stores.ts'
import type { Subject, Target } from './target.ts'

export const TARGETS: Readonly<Record<string, Target<unknown>>> = { frames, bytes, upgrades, grpc, kafka, etcd }

export interface Outcome {
  readonly cases: number
  readonly faults: readonly string[]
  /** What was played last, the oldest first. */
  readonly last: readonly unknown[]
  readonly peace: Peace
  readonly residentBytes: number
}

export interface PlayOptions {
  /** At most so many cases a second; default: as many as go. */
  readonly perSecond?: number
}

const AT_ONCE = 8
/** Cases made at a time, each time from the next seed. */
const BATCH = 100
const KEPT = 300
const MAX_FAULTS = 20
export const MAX_SERIES = 500
/** All deadlines of the node are shorter. */
const SETTLE_MS = 10_000
const PROBES = 3

/** The cases that a seed stands for, without an end. */
export function * casesOf (target: string, seed: number): Generator<unknown> {
  const { cases } = TARGETS[target] as Target<unknown>
  for (let batch = 0; ; batch++) yield * fc.sample(cases, { seed: seed + batch, numRuns: BATCH })
}

/** A node and its neighbours, in a process each. */
export class Fuzzing {
  readonly #node: HelperProcess
  readonly #neighbour: HelperProcess
  readonly #subject: Subject
  readonly #baseline: Figures['held']

  private constructor (node: HelperProcess, neighbour: HelperProcess, subject: Subject, baseline: Figures['held']) {
    this.#node = node
    this.#neighbour = neighbour
    this.#subject = subject
    this.#baseline = baseline
  }

  static async start (): Promise<Fuzzing> {
    const node = new HelperProcess('node-under-fuzz.ts')
    const neighbour = new HelperProcess('neighbour.ts')
    const [{ port, grpcPort }] = await Promise.all([node.ready as Promise<{ port: number, grpcPort: number }>, neighbour.ready])
    await neighbour.call('start', `ws://127.0.0.1:${port}/ws`)
    const { held } = await node.call('figures') as Figures
    // A message of the neighbour may be on its way just now.
    return new Fuzzing(node, neighbour, { port, grpcPort, call: (name, argument) => node.call(name, argument) }, { ...held, 'pending sends': 0 })
  }

  async end (): Promise<void> {
    await Promise.all([this.#node.end(), this.#neighbour.end()])
  }

  /** How the neighbour fares, left alone for so long. */
  async peace (ms: number): Promise<Peace> {
    await this.#neighbour.call('peace')
    await pause(ms)
    return await this.#neighbour.call('peace') as Peace
  }

  /** Plays all cases, and then looks at what is left. */
  async play (target: string, cases: Iterable<unknown>, { perSecond = Infinity }: PlayOptions = {}): Promise<Outcome> {
    const faults: string[] = []
    const last: unknown[] = []
    const startedMs = performance.now()
    const { play } = TARGETS[target] as Target<unknown>
    let played = 0
    const fault = (text: string): void => { if (faults.length < MAX_FAULTS) faults.push(text) }
    await this.#neighbour.call('peace')
    const iterator = cases[Symbol.iterator]()
    const player = async (): Promise<void> => {
      for (let next = iterator.next(); next.done !== true && this.#node.ended === undefined && faults.length < MAX_FAULTS; next = iterator.next()) {
        const aheadMs = played++ / perSecond * 1_000 - (performance.now() - startedMs)
        if (aheadMs > 1) await pause(aheadMs)
        last.push(next.value)
        if (last.length > KEPT) last.shift()
        await play(this.#subject, next.value).catch((error: unknown) => { fault(`${error instanceof Error ? error.stack : String(error)}\n  ${JSON.stringify(next.value)}`) })
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, player))
    const peace = await this.#neighbour.call('peace') as Peace
    if (!peace.isOpen) fault('the neighbour was disconnected')
    if (peace.failed > 0) fault(`${peace.failed} messages of the neighbour were not acknowledged`)
    const residentBytes = await this.#settle(target, fault).catch((error: unknown) => {
      fault(String(error))
      return 0
    })
    return { cases: played, faults, last, peace, residentBytes }
  }

  /** What is left when all has had its time, and whether a message still comes through. Resolves to the memory in use. */
  async #settle (name: string, fault: (text: string) => void): Promise<number> {
    await this.#node.call('truth')
    await this.#node.call('probe', name)
    const errors: string[] = []
    let [figures, probes] = [undefined as Figures | undefined, 0]
    const end = performance.now() + SETTLE_MS
    do {
      figures = await this.#node.call('figures') as Figures
      errors.push(...figures.errors)
      probes += (await this.#neighbour.call('peace') as Peace).probes
      if (probes === PROBES && this.#left(figures).length === 0) break
      await pause(50)
    } while (performance.now() < end)
    for (const each of [...this.#left(figures), ...errors]) fault(each)
    if (probes !== PROBES) fault(`${probes} of ${PROBES} messages of the neighbour's group came`)
    if (figures.series >= MAX_SERIES) fault(`${figures.series} metric series`)
    return figures.residentBytes
  }

  #left ({ held }: Figures): string[] {
    return Object.entries(this.#baseline).flatMap(([what, before]) => held[what] === before ? [] : [`${what}: ${held[what]}, before ${before}`])
  }
}
