/** The world of the demo on the services that the environment names, for tests of what stands in deploy/. */
import { pino } from 'pino'
import type { Test } from 'tap'
import { openReal } from '../../demo/outside-real.ts'
import { World } from '../../demo/world.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'

const TOKEN_TTL_MS = 600_000

/** Its nodes are processes of their own; it ends with the test. */
export async function startWorld (t: Test, run: string, gatewayEnv: Readonly<Record<string, string>> = {}): Promise<World> {
  const logger = pino({ level: 'silent' })
  const outside = await openReal({ ...process.env, KAFKA_GROUP_ID: `deploy-${run}` }, systemClock, logger)
  const world = await World.start({ outside, clock: systemClock, logger, accessTokenTtlMs: TOKEN_TTL_MS, refreshTokenTtlMs: TOKEN_TTL_MS, httpPort: 0, processes: true, gatewayEnv })
  t.teardown(() => world.close())
  return world
}
