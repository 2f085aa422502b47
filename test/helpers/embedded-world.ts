/** The demo's whole system in this process, on embedded stores. */
import { pino } from 'pino'
import type { Test } from 'tap'
import { openEmbedded } from '../../demo/outside-embedded.ts'
import { World, type WorldOptions } from '../../demo/world.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'

const TOKEN_TTL_MS = 60_000

/** Its gateways are of this process as well; everything ends with the test. */
export async function startEmbeddedWorld (t: Test, options: Pick<WorldOptions, 'gatewayEnv' | 'watch' | 'extend'>): Promise<World> {
  const logger = pino({ level: 'silent' })
  const world = await World.start({
    outside: openEmbedded(systemClock, logger),
    clock: systemClock,
    logger,
    accessTokenTtlMs: TOKEN_TTL_MS,
    refreshTokenTtlMs: TOKEN_TTL_MS,
    httpPort: 0,
    processes: false,
    ...options
  })
  t.teardown(() => world.close())
  return world
}
