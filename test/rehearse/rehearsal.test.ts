import { pino } from 'pino'
import t, { type Test } from 'tap'
import { realClock } from '../../client/src/clock.ts'
import { openEmbedded } from '../../demo/outside-embedded.ts'
import { World } from '../../demo/world.ts'
import type { Check } from '../../rehearse/checks.ts'
import { RefusedError, rehearse, type RehearsalOptions, type Report } from '../../rehearse/rehearsal.ts'
import { seededRandom } from '../../rehearse/random.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { FrameProxy, type Meddle } from '../helpers/frame-proxy.ts'

const ENV = {
  HEARTBEAT_INTERVAL: '1s', HEARTBEAT_TIMEOUT: '6s', WRITE_WAIT: '1s', DRAIN_TIMEOUT: '5s', HANDSHAKES_PER_IP: '0', HANDSHAKES_PER_USER: '0', MAX_EVENT_LOOP_DELAY: '10s'
}

async function startWorld (t: Test): Promise<World> {
  const logger = pino({ level: 'silent' })
  const world = await World.start({
    outside: openEmbedded(systemClock, logger), clock: systemClock, logger, accessTokenTtlMs: 60_000, refreshTokenTtlMs: 60_000, httpPort: 0, processes: false, gatewayEnv: ENV
  })
  t.teardown(() => world.close())
  return world
}

function optionsFor (world: World, urls: readonly string[], more: Partial<RehearsalOptions> = {}): RehearsalOptions {
  return {
    urls,
    token: (user, device) => {
      world.users.addUser(user)
      return world.auth.mint(user, device).accessToken
    },
    clock: realClock,
    random: seededRandom(1),
    limits: { welcomeWithinMs: 2_000, acceptWithinMs: 10_000, latencyWithinMs: 2_000, backWithinMs: 10_000, settleWithinMs: 1_500 },
    users: 'u-',
    signal: new AbortController().signal,
    restart: undefined,
    restartWithinMs: 12_000,
    slowForMs: 1_500,
    run: 'r1',
    say: (line) => { t.comment(`${Math.round(performance.now())} ${line}`) },
    connections: 8,
    messagesPerSecond: 40,
    steps: 1,
    stepMs: 1_000,
    connectsPerSecond: 200,
    faults: [],
    ...more
  }
}

const broken = ({ checks }: Report): Check[] => checks.filter(({ state }) => state === 'broken').map(({ check }) => check)
const tried = ({ checks }: Report): Check[] => checks.filter(({ state }) => state !== 'not tried').map(({ check }) => check)

t.test('a healthy gateway keeps its promises through a ramp, a storm, slow readers and a restart', async (t) => {
  const world = await startWorld(t)
  const [first, second] = [await world.startGateway('n1'), await world.startGateway('n2')]
  const report = await rehearse(optionsFor(world, [first.url, second.url], {
    connections: 24, steps: 2, stepMs: 2_500, faults: ['storm', 'slow-readers', 'restart'], restart: () => world.stop(first)
  }))
  t.strictSame(broken(report), [], { checks: report.checks })
  t.ok(report.isFinished && report.isKept)
  t.strictSame(report.capacity, { connections: 24, messagesPerSecond: 40 })
  t.strictSame(report.steps.map(({ name, isKept }) => [name, isKept]), [['step 1', true], ['step 2', true], ['storm', true], ['slow-readers', true], ['restart', true]])
  for (const check of ['delivered', 'once', 'order', 'intact', 'accepted', 'latency', 'welcome', 'pings', 'frames', 'closes', 'stays', 'halfOpen', 'slowReader', 'shutdown', 'spread', 'delay', 'back', 'restart'] as const) {
    t.ok(tried(report).includes(check), `${check} was tried`)
  }
})
