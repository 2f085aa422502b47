/** What befalls the IM Service: nothing is called accepted that is not, and nothing is accepted twice. */
import { setTimeout as pause } from 'node:timers/promises'
import { eventually } from '../helpers/bus-conformance.ts'
import type { FaultWorld } from './harness/fault-world.ts'
import { quantileMs } from './harness/knock.ts'
import { ManualClient, type SendAnswer } from './harness/manual-client.ts'
import { isLong, PATIENCE_MS, row } from './harness/row.ts'

const SIZES = { people: 200, groups: 10, groupSize: 20 }
const PER_SECOND = 200
const TRAFFIC_MS = isLong ? 60_000 : 10_000
/** Of IM_TIMEOUT, which is 2 s for the row. */
const SETTINGS = { IM_TIMEOUT: '2s' }

const errors = (world: FaultWorld) => world.ledger.entries.filter((entry) => entry.kind === 'error')
const acceptances = (world: FaultWorld) => world.ledger.entries.filter((entry) => entry.kind === 'accepted')

row('M2', '[GW-SND-4] an IM Service that is slow, or dies between acceptance and answer, costs repeats and no second acceptance', { lines: ['im'], settings: SETTINGS }, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const before = acceptances(world).length
  let slow = 0
  let deaths = 0
  world.beforeAnswer = async () => {
    const roll = world.random()
    if (roll < 0.02) {
      slow++
      await pause(4_000)
    } else if (roll < 0.03 && deaths < TRAFFIC_MS / 1_000) {
      deaths++
      world.line('im').cut()
      setTimeout(() => { world.line('im').heal() }, 200)
      await pause(100)
    }
  }
  await population.write(PER_SECOND, pause(TRAFFIC_MS).then(() => { world.beforeAnswer = undefined }))
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  const all = acceptances(world)
  const repeats = all.length - new Set(all.map(({ user, msgId }) => `${user} ${msgId}`)).size
  t.ok(slow > 0 && deaths > 0 && repeats > 0, 'it was slow, it died, and messages came again')
  t.ok(errors(world).every(({ retryable }) => retryable), 'every error may be tried again')
  return { accepted: verdict.accepted, slow, deaths, repeats, errors: errors(world).length, before }
})

const OPEN_MS = 3_000
const FAST_FAILS = 40
/** In CI the machine is shared. */
const FAST_FAIL_MS = isLong ? 20 : 50
const RECOVERED_MS = 10_000

row('M1', '[GW-SND-4] an IM Service that is gone is told at once, no message is called accepted meanwhile, and all are afterwards', { lines: ['im'], settings: SETTINGS }, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const [name, friend] = [`tries-${world.run}`, `friend-${world.run}`]
  for (const user of [name, friend]) world.world.users.addUser(user)
  const client = await ManualClient.connect(t, world, name, world.nodes[0]?.url ?? '', PATIENCE_MS)
  const downMs = isLong ? 30_000 : 8_000
  const figures = { openMs: Infinity, fastFailMs: 0, falseAcks: 0, recoveryMs: 0 }
  const acked = (fromMs: number, toMs = Infinity): number[] => world.ledger.entries.flatMap(({ kind, atMs }) => kind === 'acked' && atMs > fromMs && atMs <= toMs ? [atMs] : [])
  const fault = async (): Promise<void> => {
    await pause(1_000)
    const started = performance.now()
    world.line('im').cut()
    await Promise.all(world.nodes.map((node) => eventually(async () => await world.countOn(node, 'breaker_state{', 'service="im"') >= 1, PATIENCE_MS)))
    figures.openMs = Math.round(performance.now() - started)
    const answers: SendAnswer[] = []
    for (let i = 0; i < FAST_FAILS; i++) answers.push(await client.send(friend, `f${i}`))
    t.strictSame(answers.filter(({ type, code }) => type !== 'error' || code !== 'SERVICE_UNAVAILABLE'), [], 'each is told that the service is away')
    figures.fastFailMs = quantileMs(answers, 0.9)
    await pause(downMs)
    const healed = performance.now()
    figures.falseAcks = acked(started + 500, healed).length
    world.line('im').heal()
    await eventually(() => acked(healed).length > 0, PATIENCE_MS)
    figures.recoveryMs = Math.round((acked(healed)[0] ?? Infinity) - healed)
  }
  const written = await population.write(PER_SECOND, fault())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0, returns: 0 })
  t.equal(figures.falseAcks, 0, 'no false acknowledgement')
  t.ok(figures.openMs < OPEN_MS, `every breaker is open after ${figures.openMs} ms`)
  t.ok(figures.fastFailMs < FAST_FAIL_MS, `and answers within ${figures.fastFailMs} ms`)
  t.ok(figures.recoveryMs <= RECOVERED_MS, `messages are accepted again after ${figures.recoveryMs} ms`)
  t.ok(errors(world).length > 0 && errors(world).every(({ retryable }) => retryable), 'every error may be tried again')
  return { written, accepted: verdict.accepted, errors: errors(world).length, ...figures }
})
