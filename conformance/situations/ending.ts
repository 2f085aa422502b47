/** Each close code of the table, and how the client comes back. */
import { setTimeout as pause } from 'node:timers/promises'
import { CLOSE, type CloseRow } from '../../src/protocol/close-codes.ts'
import { CLOSES, endId } from '../requirements.ts'
import { TOLERANCE_MS, type Situation, type Stage } from '../situation.ts'

/** How long a client is watched that should not come back: a fixed pause of 5 or of 10 s is usual. */
const AWAY_MS = 12_000
/** Full jitter over the longest back-off, and some. */
const BACK_MS = 40_000
const SLOT_MS = 3_000
const ABUSE_MS = 30_000
const REFUSED_MS = 8_000
const MAX_ATTEMPTS = 20
const LOSSES = 5
/** Pauses that are no further apart are the same; those of two processes on a busy machine by a share of their length. */
const SAME_MS = 30
const SAME_SHARE = 0.1

export const ENDING: readonly Situation[] = [
  ...CLOSES.map((row): Situation => ({
    name: `close code ${row.code}`,
    ids: [endId(row.code), ...(row.reconnect === 'no' ? ['C-END-1'] : [])],
    play: (stage) => closed(row, stage)
  })),
  {
    name: 'a close in place of a welcome',
    ids: [endId(CLOSE.deviceLimit.code), 'C-END-1'],
    settings: { welcomeAfterMs: 1_000 },
    prepare: (gateway) => { gateway.onSession = (session) => { session.close(CLOSE.deviceLimit) } },
    async play (stage) {
      const { atMs } = await stage.gateway.attempts.next('attempt to connect', () => true, { timeoutMs: 20_000 })
      await staysAway(CLOSE.deviceLimit, atMs, stage)
    }
  },
  {
    name: 'a connection that is lost again and again',
    ids: ['C-REC-1'],
    // A back-off that doubles is different each time too, and the same in every client.
    clients: 2,
    async play (...stages) {
      const [{ judge }] = stages
      const [own = [], others = []] = await Promise.all(stages.map(pausesOf))
      const areSame = Math.max(...own) - Math.min(...own) <= SAME_MS
      judge('C-REC-1', !areSame, `the pauses were ${own.join(', ')} ms`)
      // But for the first: a process that has just begun may be late by more than that.
      const areShared = own.every((pauseMs, n) => n === 0 || Math.abs(pauseMs - (others[n] ?? 0)) <= Math.max(SAME_MS, SAME_SHARE * pauseMs))
      judge('C-REC-1', !areShared, `the pauses were ${own.join(', ')} ms, and those of another process ${others.join(', ')} ms`)
    }
  },
  {
    name: 'a gateway that refuses everybody for a while',
    ids: ['C-REC-2', 'C-REC-3'],
    prepare: (gateway) => { gateway.refusal = 'SERVICE_UNAVAILABLE' },
    async play ({ gateway, judge }) {
      await gateway.attempts.next('attempt to connect', () => true, { timeoutMs: 20_000 })
      await pause(REFUSED_MS)
      judge('C-REC-2', gateway.attempts.length <= MAX_ATTEMPTS, `${gateway.attempts.length} attempts`)
      gateway.refusal = undefined
      judge('C-REC-3', await gateway.session(0, BACK_MS).then(() => true, () => false), 'it did not come back')
    }
  }
]

/** Milliseconds from each loss of the connection to the attempt that follows. */
async function pausesOf ({ gateway }: Stage): Promise<number[]> {
  const pauses: number[] = []
  for (let n = 0; n < LOSSES; n++) {
    const lostMs = (await gateway.session(n)).cut()
    pauses.push(Math.round((await gateway.attemptAfter(lostMs, BACK_MS)).atMs - lostMs))
  }
  return pauses
}

async function staysAway ({ code }: CloseRow, closedMs: number, { gateway, client, judge }: Stage): Promise<void> {
  const again = await gateway.attempts.none(() => true, AWAY_MS, 1)
  judge(endId(code), again === undefined, `it connected again after ${again === undefined ? 0 : Math.round(again.atMs - closedMs)} ms`)
  const ended = await client.events.none(({ event }) => event === 'ended', 1_000)
  judge('C-END-1', ended?.['code'] === code, ended === undefined ? `it said nothing after ${code}` : `it said ${JSON.stringify(ended)} after ${code}`)
}

async function closed (row: CloseRow, { gateway, client, judge }: Stage): Promise<void> {
  const { code, reconnect } = row
  const session = await gateway.session(0)
  if (code === CLOSE.shutdown.code) {
    session.shutdown(SLOT_MS)
    await pause(500)
    if (!session.isOpen) {
      judge(endId(code), false, 'it left before its turn')
      return
    }
  }
  const closedMs = code === CLOSE.lost.code ? session.cut() : session.close(row)
  if (reconnect === 'no') {
    await staysAway(row, closedMs, { gateway, client, judge })
    return
  }
  const orderedMs = code === CLOSE.shutdown.code ? SLOT_MS : reconnect === 'after-delay' ? ABUSE_MS : 0
  const again = await gateway.attemptAfter(closedMs, orderedMs + BACK_MS)
  const pauseMs = again.atMs - closedMs
  // Before anything is judged: an attempt alone is no return.
  const next = await gateway.session(1, BACK_MS)
  judge(endId(code), pauseMs >= orderedMs - TOLERANCE_MS, `it came back after ${Math.round(pauseMs)} ms instead of ${orderedMs}`)
  if (reconnect === 'after-token') judge(endId(code), (gateway.issuedMs(next.token) ?? 0) >= closedMs, 'it came back with a token that it had before')
}
