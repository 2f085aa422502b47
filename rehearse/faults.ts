/** What is done to the deployment, or by its operator, while people talk; each judges what it alone can see. */
import type { Population } from './population.ts'
import type { Drained, Stage } from './stage.ts'
import { SlowClient } from './misbehaving.ts'
import { VirtualClient } from './virtual-client.ts'

export const FAULTS = ['restart', 'slow-readers', 'storm'] as const
export type Fault = typeof FAULTS[number]

export interface FaultOptions {
  /** Restarts the deployment; undefined: its operator does meanwhile. */
  readonly restart: (() => Promise<unknown>) | undefined
  /** Until the first client is told, and until the last one was. */
  readonly restartWithinMs: number
  /** So long without a close, and the last node has drained. */
  readonly quietMs: number
  /** As long as a gateway bears a client that does not read: its WRITE_WAIT and a little. */
  readonly slowForMs: number
  readonly run: string
  readonly say: (line: string) => void
}

const SLOW_READERS = 3
/** Half a megabyte for each: more than a gateway writes to a device without a sign of life from it. */
const SLOW_MESSAGES = 64
const SLOW_MESSAGE_BYTES = 8_000
/** Room for the rest of the frame. */
const FRAME_BYTES = 1_000
const SLOW_PAUSE_MS = 50
const CLOSE_WITHIN_MS = 5_000
const SPREAD_MIN = 10
const SPREAD_WINDOW_MS = 100
const SPREAD_SHARE = 0.4

type Play = (stage: Stage, population: Population, options: FaultOptions) => Promise<void>

export const PLAY: Readonly<Record<Fault, Play>> = { restart, 'slow-readers': slowReaders, storm }

/** Everybody is cut at once, and comes back as the client library does. */
async function storm (stage: Stage, population: Population): Promise<void> {
  population.cut()
  await everybodyBack(stage, population)
}

async function everybodyBack (stage: Stage, population: Population): Promise<void> {
  const { backWithinMs } = stage.limits
  const isBack = await stage.until(() => population.isOpen, backWithinMs)
  stage.verdict.judge('back', isBack, () => `${population.open} of ${population.size} after ${backWithinMs} ms`)
}

async function restart (stage: Stage, population: Population, { restart, restartWithinMs, quietMs, say }: FaultOptions): Promise<void> {
  const before = stage.drains.length
  stage.isRestarting = stage.ledger.mayRepeat = true
  try {
    if (restart === undefined) say(`restart the nodes now: the first client has to be told within ${restartWithinMs / 1_000} s`)
    let isRunning = true
    const restarted = Promise.resolve(restart?.()).finally(() => { isRunning = false })
    restarted.catch(() => { /* told below */ })
    const isSeen = await stage.until(() => stage.drains.length > before || !population.isOpen, restartWithinMs)
    stage.verdict.judge('restart', isSeen, () => `nobody was told or closed within ${restartWithinMs} ms`)
    if (!isSeen) return
    let [drained, quietSinceMs] = [before, stage.clock.monotonicMs()]
    const isOver = await stage.until(() => {
      if (stage.drains.length > drained) [drained, quietSinceMs] = [stage.drains.length, stage.clock.monotonicMs()]
      return !isRunning && stage.clock.monotonicMs() - quietSinceMs >= quietMs
    }, restartWithinMs)
    stage.verdict.judge('restart', isOver, () => `it was not over after ${restartWithinMs} ms`)
    await everybodyBack(stage, population)
    if (!isRunning) await restarted.catch((error: unknown) => { stage.verdict.broken('restart', error instanceof Error ? error.message : String(error)) })
    judgeSpread(stage, stage.drains.slice(before))
  } finally {
    stage.isRestarting = stage.ledger.mayRepeat = false
  }
}

/** A few returns may fall together by chance; that many only where the waits are the same. */
export function judgeSpread ({ verdict }: Pick<Stage, 'verdict'>, drains: readonly Drained[]): void {
  if (drains.length < SPREAD_MIN) return
  const dues = drains.map(({ closedAtMs, toldMs }) => closedAtMs + toldMs).sort((a, b) => a - b)
  let most = 0
  for (let [from, to] = [0, 0]; to < dues.length; to++) {
    while ((dues[to] as number) - (dues[from] as number) > SPREAD_WINDOW_MS) from++
    most = Math.max(most, to - from + 1)
  }
  verdict.judge('spread', most <= SPREAD_MIN * SPREAD_SHARE + dues.length * SPREAD_SHARE, () => `${most} of ${dues.length} were asked back within ${SPREAD_WINDOW_MS} ms`)
}

/** Some stop reading while each is written to; their neighbours' promises are judged as ever. */
async function slowReaders (stage: Stage, population: Population, { slowForMs, run }: FaultOptions): Promise<void> {
  const pairs = Array.from({ length: SLOW_READERS }, (_, i) => ({
    slow: new SlowClient(stage, stage.user(`slow-${i}`)), writer: new VirtualClient(stage, { user: stage.user(`slow-writer-${i}`) })
  }))
  try {
    await Promise.all(pairs.map(async ({ slow, writer }, i) => {
      // What is written to it is not for it to get.
      stage.ledger.left(slow.user, stage.clock.monotonicMs())
      writer.start()
      await slow.run()
      const isReady = await stage.until(() => slow.maxMessageBytes !== undefined && writer.isOpen, stage.limits.backWithinMs)
      stage.verdict.judge('back', isReady, () => `${slow.user} was not let in`)
      if (!isReady) return
      slow.pause()
      const bytes = Math.min(SLOW_MESSAGE_BYTES, Number(slow.maxMessageBytes) - FRAME_BYTES)
      const sent: Array<Promise<void>> = []
      for (let n = 0; n < SLOW_MESSAGES; n++) {
        sent.push(writer.send(slow.user, `${run}-slow-${i}`, bytes))
        await stage.pause(SLOW_PAUSE_MS)
      }
      await Promise.all(sent)
      await stage.pause(slowForMs)
      slow.resume()
      const isClosed = await stage.until(() => slow.code !== undefined, CLOSE_WITHIN_MS)
      stage.verdict.judge('slowReader', isClosed, () => `${slow.user} is still connected after ${SLOW_MESSAGES} messages and ${slowForMs} ms`)
    }))
  } finally {
    for (const { slow, writer } of pairs) {
      slow.close()
      writer.close()
    }
  }
}
