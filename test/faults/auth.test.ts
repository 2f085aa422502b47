/** What befalls the Auth Service and Redis, which stand at the door: who is in stays in, and nobody is refused for a wrong reason. */
import { eventually } from '../helpers/bus-conformance.ts'
import { pause, type FaultWorld } from './harness/fault-world.ts'
import { knock, knocks, quantileMs } from './harness/knock.ts'
import { isLong, PATIENCE_MS, row } from './harness/row.ts'

const SIZES = { people: 100, groups: 5, groupSize: 20 }
const PER_SECOND = 50
const DOWN_MS = isLong ? 60_000 : 5_000

/** A token of a user who never came before. */
const strangers = (world: FaultWorld, name: string) => (i: number): string => world.world.auth.mint(`${name}${i}-${world.run}`, 'phone').accessToken

row('A1', '[GW-CON-3] the Auth Service is gone: who is in stays, new connections get 503 with Retry-After, and soon come in again', { lines: ['auth'] }, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const url = world.nodes[0]?.url ?? ''
  let figures = { knocks: 0, refusalMs: 0, recoveryMs: 0 }
  const fault = async (): Promise<void> => {
    world.line('auth').cut()
    // The first ones find out.
    await knocks(20, url, strangers(world, 'first'))
    const refused = await knocks(50, url, strangers(world, 'later'))
    t.strictSame(refused.filter(({ status, retryAfterS = 0 }) => status !== 503 || !(retryAfterS > 0)), [], 'each is told to come back later')
    const refusalMs = quantileMs(refused, 0.95)
    t.ok(refusalMs < 100, `and told soon: within ${refusalMs} ms`)
    await pause(DOWN_MS)
    world.line('auth').heal()
    const healed = performance.now()
    let attempt = 0
    await eventually(async () => (await knock(url, strangers(world, 'again')(attempt++))).status === 101, PATIENCE_MS)
    const recoveryMs = Math.round(performance.now() - healed)
    t.ok(recoveryMs <= 10_000, `let in again after ${recoveryMs} ms`)
    figures = { knocks: 70 + attempt, refusalMs, recoveryMs }
  }
  const written = await population.write(PER_SECOND, fault())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0, returns: 0 }, 'nobody was closed for it')
  return { written, ...figures, closes: verdict.returns }
})

const KNOCKS = 200
/** REDIS_TIMEOUT. */
const MORE_MS = 200
/** High enough for all knocks, so that Redis is asked for each. */
const LIMITS = { HANDSHAKES_PER_IP: '100000', HANDSHAKES_PER_USER: '100000' }

row('R1', 'Redis is killed, then frozen: upgrades work on, hardly slower, and group messages arrive', { nodes: ['node-a'], settings: LIMITS }, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const url = world.nodes[0]?.url ?? ''
  const figures: Record<string, number> = {}
  const measure = async (name: string): Promise<void> => {
    const answers = await knocks(KNOCKS, url, strangers(world, name))
    t.strictSame(answers.filter(({ status }) => status !== 101), [], `${name}: everybody is let in`)
    figures[`${name}Ms`] = quantileMs(answers, 0.99)
  }
  const faults = async (): Promise<void> => {
    await measure('well')
    await world.services.kill('redis1')
    await measure('killed')
    await world.services.restart('redis')
    await eventually(async () => await world.count('degraded{', 'dependency="redis"') === 0, PATIENCE_MS)
    await world.services.freeze('redis1')
    await measure('frozen')
    await world.services.thaw('redis1')
    await eventually(async () => await world.count('degraded{', 'dependency="redis"') === 0, PATIENCE_MS)
  }
  const written = await population.write(PER_SECOND, faults())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0, returns: 0 })
  for (const name of ['killed', 'frozen']) t.ok((figures[`${name}Ms`] ?? Infinity) <= (figures['wellMs'] ?? 0) + MORE_MS, `${name}: ${figures[`${name}Ms`]} ms`)
  return { written, ...figures, lost: verdict.lost }
})
