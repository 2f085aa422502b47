/** A deployment in this process, and rehearsals of seconds against it. */
import type { Test } from 'tap'
import { realClock } from '../../client/src/clock.ts'
import type { World } from '../../demo/world.ts'
import type { Check } from '../../rehearse/checks.ts'
import { seededRandom } from '../../rehearse/random.ts'
import type { RehearsalOptions, Report } from '../../rehearse/rehearsal.ts'
import { startEmbeddedWorld } from './embedded-world.ts'

const ENV = {
  HEARTBEAT_INTERVAL: '1s', HEARTBEAT_TIMEOUT: '6s', WRITE_WAIT: '1s', DRAIN_TIMEOUT: '5s', HANDSHAKES_PER_IP: '0', HANDSHAKES_PER_USER: '0', MAX_EVENT_LOOP_DELAY: '10s'
}

/** The demo's services; everything ends with the test. */
export async function startRehearsalWorld (t: Test): Promise<World> {
  return await startEmbeddedWorld(t, { gatewayEnv: ENV })
}

export function rehearsalOptions (world: World, urls: readonly string[], more: Partial<RehearsalOptions> = {}): RehearsalOptions {
  return {
    urls,
    token: (user, device) => {
      world.users.addUser(user)
      return world.auth.mint(user, device).accessToken
    },
    clock: realClock,
    random: seededRandom(1),
    limits: { welcomeWithinMs: 10_000, acceptWithinMs: 10_000, latencyWithinMs: 10_000, backWithinMs: 10_000, settleWithinMs: 1_500 },
    users: 'u-',
    signal: new AbortController().signal,
    restart: undefined,
    restartWithinMs: 12_000,
    quietMs: 1_500,
    slowForMs: 1_500,
    run: 'r1',
    say: () => {},
    connections: 8,
    messagesPerSecond: 40,
    steps: 1,
    stepMs: 1_000,
    connectsPerSecond: 200,
    faults: [],
    ...more
  }
}

/** Checks that found something. */
export const broken = ({ checks }: Report): Check[] => checks.filter(({ state }) => state === 'broken').map(({ check }) => check)
