/** What befalls the Auth Service and Redis, which stand at the door: who is in stays in, and nobody is refused for a wrong reason. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import { eventually } from '../helpers/bus-conformance.ts'
import type { FaultWorld } from './harness/fault-world.ts'
import { knock, knocks, quantileMs, type Answer } from './harness/knock.ts'
import { isLong, PATIENCE_MS, row } from './harness/row.ts'

const SIZES = { people: 100, groups: 5, groupSize: 20 }
const PER_SECOND = 50
const DOWN_MS = isLong ? 60_000 : 5_000
const REFUSED_MS = 100
const RECOVERED_MS = 10_000

/** A token of a user who never came before. */
const strangers = (world: FaultWorld, name: string) => (i: number): string => world.world.auth.mint(`${name}${i}-${world.run}`, 'phone').accessToken

/** Not 401: nobody knows what is wrong with them. */
function areSentBack (t: Test, answers: readonly Answer[], who: string): void {
  t.strictSame(answers.filter(({ status, retryAfterS = 0 }) => status !== 503 || !(retryAfterS > 0)), [], `${who} are told to come back later`)
}

/** Milliseconds until somebody is let in again. */
async function recovered (t: Test, world: FaultWorld, url: string): Promise<number> {
  const healed = performance.now()
  let attempt = 0
  await eventually(async () => (await knock(url, strangers(world, 'again')(attempt++))).status === 101, PATIENCE_MS)
  const recoveryMs = Math.round(performance.now() - healed)
  t.ok(recoveryMs <= RECOVERED_MS, `let in again after ${recoveryMs} ms`)
  return recoveryMs
}

row('A1', '[GW-CON-3] the Auth Service is gone: who is in stays, new connections get 503 with Retry-After, and soon come in again', { lines: ['auth'] }, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const url = world.nodes[0]?.url ?? ''
  let figures = { refusalMs: 0, recoveryMs: 0 }
  const fault = async (): Promise<void> => {
    world.line('auth').cut()
    // The first ones find out.
    areSentBack(t, await knocks(20, url, strangers(world, 'first')), 'the first ones')
    const refused = await knocks(50, url, strangers(world, 'later'))
    areSentBack(t, refused, 'all others')
    const refusalMs = quantileMs(refused, 0.95)
    t.ok(refusalMs < REFUSED_MS, `and told soon: within ${refusalMs} ms`)
    await pause(DOWN_MS)
    world.line('auth').heal()
    figures = { refusalMs, recoveryMs: await recovered(t, world, url) }
  }
  const written = await population.write(PER_SECOND, fault())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0, returns: 0 }, 'nobody was closed for it')
  return { written, ...figures, closes: verdict.returns }
})

const CAP = 50
const BURST = 200
const SLOW_MS = 10_000
/** AUTH_TIMEOUT and what a busy machine adds. */
const ANSWERED_MS = isLong ? 2_300 : 3_000
/** Of pages that do not need the Auth Service. */
const HEALTHY_MS = isLong ? 100 : 500

row('A2', '[GW-CON-3] the Auth Service is slow: calls end at their deadline, no more than a bounded number waits, and all else works on', { nodes: ['node-a'], lines: ['auth'], settings: { MAX_PENDING_AUTH_CALLS: String(CAP) } }, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const [node] = world.nodes
  if (node === undefined) throw new Error('no node')
  const checks = (by: string): Promise<number> => world.count('auth_checks_total', `by="${by}"`)
  const figures = { slowestMs: 0, asked: 0, overCap: 0, openMs: 0, refusalMs: 0, healthyMs: 0, recoveryMs: 0 }
  const fault = async (): Promise<void> => {
    const [askedBefore, overCapBefore] = [await checks('service'), await checks('limit')]
    const started = performance.now()
    world.line('auth').freeze()
    const opened = eventually(async () => await world.count('breaker_state{', 'service="auth"') >= 1, PATIENCE_MS).then(() => Math.round(performance.now() - started))
    const burst = Promise.all(Array.from({ length: BURST }, (_, i) => knock(node.url, strangers(world, 'burst')(i))))
    const isOver = burst.then(() => true)
    do {
      for (const page of ['healthz', 'readyz', 'metrics']) {
        const askedMs = performance.now()
        t.equal((await fetch(`http://127.0.0.1:${node.port}/${page}`)).status, 200)
        figures.healthyMs = Math.max(figures.healthyMs, Math.round(performance.now() - askedMs))
      }
    } while (!await Promise.race([isOver, pause(100).then(() => false)]))
    const answers = await burst
    areSentBack(t, answers, 'all of the burst')
    figures.slowestMs = quantileMs(answers, 1)
    figures.openMs = await opened
    figures.asked = await checks('service') - askedBefore
    figures.overCap = await checks('limit') - overCapBefore
    const refused = await knocks(20, node.url, strangers(world, 'later'))
    areSentBack(t, refused, 'all others')
    figures.refusalMs = quantileMs(refused, 0.9)
    await pause(Math.max(0, started + SLOW_MS - performance.now()))
    world.line('auth').thaw()
    figures.recoveryMs = await recovered(t, world, node.url)
  }
  const written = await population.write(PER_SECOND, fault())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0, returns: 0 }, 'nobody was closed for it')
  t.ok(figures.slowestMs <= ANSWERED_MS, `the slowest answer took ${figures.slowestMs} ms`)
  t.ok(figures.asked <= CAP && figures.overCap >= BURST - CAP, `${figures.asked} were asked for, ${figures.overCap} were over the cap`)
  t.ok(figures.openMs <= ANSWERED_MS, `the breaker was open after ${figures.openMs} ms`)
  t.ok(figures.refusalMs < REFUSED_MS, `and then answered within ${figures.refusalMs} ms`)
  t.ok(figures.healthyMs <= HEALTHY_MS, `pages took ${figures.healthyMs} ms at most`)
  return { written, ...figures, closes: verdict.returns }
})

const KNOCKS = 200
/** REDIS_TIMEOUT. */
const MORE_MS = 200
/** Redis is asked whether it is there every five seconds. */
const TOLD_MS = 6_000
/** High enough for all knocks, so that Redis is asked for each. */
const LIMITS = { HANDSHAKES_PER_IP: '100000', HANDSHAKES_PER_USER: '100000' }

row('R1', 'Redis is killed, then frozen: upgrades work on, hardly slower, and group messages arrive', { nodes: ['node-a'], settings: LIMITS }, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const url = world.nodes[0]?.url ?? ''
  const figures: Record<string, number> = {}
  const measure = async (name: string, isAway: boolean): Promise<void> => {
    const answers = await knocks(KNOCKS, url, strangers(world, name))
    t.strictSame(answers.filter(({ status }) => status !== 101), [], `${name}: everybody is let in`)
    if (isAway) await eventually(isDegraded, TOLD_MS).catch(() => {})
    t.equal(await isDegraded(), isAway, `${name}: the node says whether Redis is there`)
    figures[`${name}Ms`] = quantileMs(answers, 0.99)
  }
  const isDegraded = async (): Promise<boolean> => await world.count('degraded{', 'dependency="redis"') === 1
  const back = (): Promise<void> => eventually(async () => !await isDegraded(), PATIENCE_MS)
  const faults = async (): Promise<void> => {
    await measure('well', false)
    await world.services.kill('redis1')
    await measure('killed', true)
    await world.services.restart('redis')
    await back()
    await world.services.freeze('redis1')
    await measure('frozen', true)
    await world.services.thaw('redis1')
    await back()
  }
  const written = await population.write(PER_SECOND, faults())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0, returns: 0 })
  for (const name of ['killed', 'frozen']) t.ok((figures[`${name}Ms`] ?? Infinity) <= (figures['wellMs'] ?? 0) + MORE_MS, `${name}: ${figures[`${name}Ms`]} ms`)
  return { written, ...figures, lost: verdict.lost }
})
