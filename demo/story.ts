/** The story that `--once` plays: every step checks what it sees, the first that fails ends it. */
import { within } from './client.ts'
import { badToken, heartbeat, kick, rateLimit, slowReader } from './story/limits.ts'
import { connect, joinAndLeave, largeGroup, offlineAndBack, privateMessage, readReceipt, smallGroup } from './story/messages.ts'
import { revocation, shutdown, takeover, tokenRenewal } from './story/sessions.ts'
import { Stage } from './story/stage.ts'
import type { Gateway } from './gateway.ts'
import type { World } from './world.ts'

const MESSAGES_PER_SECOND = 40
const STEP_TIMEOUT_MS = 20_000

/** What the story needs of a gateway so that rules of time show in seconds. */
export const STORY_ENV: Readonly<Record<string, string>> = {
  MAX_MESSAGES_PER_SECOND: String(MESSAGES_PER_SECOND),
  HEARTBEAT_INTERVAL: '1s',
  HEARTBEAT_TIMEOUT: '3s',
  WRITE_WAIT: '1s',
  DRAIN_TIMEOUT: '10s'
}

const STEPS: ReadonlyArray<readonly [name: string, play: (stage: Stage) => Promise<void>]> = [
  ['connect', connect],
  ['bad token refused', badToken],
  ['private message with ack, on two devices', privateMessage],
  ['offline and back with history', offlineAndBack],
  ['group of 3', smallGroup],
  ['large group: 1,500 members, 3 of them here', largeGroup],
  ['join and leave take effect', joinAndLeave],
  ['read receipts', readReceipt],
  ['rate limit hit', (stage) => rateLimit(stage, MESSAGES_PER_SECOND)],
  ['heartbeat', heartbeat],
  ['kick', kick],
  ['slow reader', slowReader],
  ['token expiry and renewal', tokenRenewal],
  ['token revoked', revocation],
  ['device takeover', takeover],
  ['shutdown notice and reconnect', shutdown]
]

/** Plays all steps; `say` gets one line each. Resolves to whether all were ok. */
export async function playStory (world: World, gateway: Gateway, run: string, say: (line: string) => void): Promise<boolean> {
  const stage = new Stage(world, gateway, run)
  try {
    for (const [name, play] of STEPS) {
      const started = performance.now()
      const took = (): string => `${Math.round(performance.now() - started)} ms`
      try {
        await within(play(stage), 'end of the step', STEP_TIMEOUT_MS)
        say(`ok ${name} … ${took()}`)
      } catch (error) {
        say(`not ok ${name} … ${took()}: ${error instanceof Error ? error.message : String(error)}`)
        return false
      }
    }
    return true
  } finally {
    await stage.close()
  }
}
