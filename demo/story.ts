/** The story that `--once` plays: every step checks what it sees, the first that fails ends it. */
import { within } from './client.ts'
import { badToken, heartbeat, kick, rateLimit, slowReader } from './story/limits.ts'
import { connect, joinAndLeave, largeGroup, offlineAndBack, privateMessage, readReceipt, smallGroup } from './story/messages.ts'
import { devicesOnTwoNodes, groupOverNodes, nodeDrained, nodeKilled, takeoverAcrossNodes } from './story/cluster.ts'
import { revocation, shutdown, takeover, tokenRenewal } from './story/sessions.ts'
import { Stage } from './story/stage.ts'
import type { Gateway } from './gateway.ts'
import type { World } from './world.ts'

const MESSAGES_PER_SECOND = 40
const STEP_TIMEOUT_MS = 30_000
/** One is killed, one is drained, one is left. */
export const MIN_CLUSTER = 3

/** What the story needs of a gateway so that rules of time show in seconds. */
export const STORY_ENV: Readonly<Record<string, string>> = {
  MAX_MESSAGES_PER_SECOND: String(MESSAGES_PER_SECOND),
  HEARTBEAT_INTERVAL: '1s',
  HEARTBEAT_TIMEOUT: '3s',
  WRITE_WAIT: '1s',
  DRAIN_TIMEOUT: '10s'
}

type Step = readonly [name: string, play: (stage: Stage) => Promise<void>]

const STEPS: readonly Step[] = [
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
  ['device takeover', takeover]
]

/** Where there is more than one node. */
const CLUSTER_STEPS: readonly Step[] = [
  ['device takeover by another node', takeoverAcrossNodes],
  ['devices on two nodes', devicesOnTwoNodes],
  ['group over all nodes', groupOverNodes],
  ['node killed under talk', nodeKilled],
  ['node drained under talk', nodeDrained]
]

const LAST_STEP: Step = ['shutdown notice and reconnect', shutdown]

/** Plays all steps, those of a cluster where there are three gateways or more; `say` gets one line each. Resolves to whether all were ok. */
export async function playStory (world: World, gateways: readonly Gateway[], run: string, say: (line: string) => void): Promise<boolean> {
  const stage = new Stage(world, gateways, run)
  const steps = [...STEPS, ...gateways.length >= MIN_CLUSTER ? CLUSTER_STEPS : [], LAST_STEP]
  try {
    for (const [name, play] of steps) {
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
