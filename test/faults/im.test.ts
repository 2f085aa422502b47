/** What befalls the IM Service: nothing is called accepted that is not, and nothing is accepted twice. */
import { eventually } from '../helpers/bus-conformance.ts'
import { pause, type FaultWorld } from './harness/fault-world.ts'
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

row('M1', '[GW-SND-4] an IM Service that is gone is told at once, no message is called accepted meanwhile, and all are afterwards', { lines: ['im'], settings: SETTINGS }, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const downMs = isLong ? 30_000 : 8_000
  let openMs = Infinity
  let acceptedMeanwhile = 0
  const fault = async (): Promise<void> => {
    await pause(1_000)
    const started = performance.now()
    world.line('im').cut()
    await eventually(async () => await world.count('breaker_state{', 'service="im"') >= 2, PATIENCE_MS)
    openMs = Math.round(performance.now() - started)
    await pause(downMs)
    acceptedMeanwhile = world.ledger.entries.filter(({ kind, atMs }) => kind === 'acked' && atMs > started + 500).length
    world.line('im').heal()
  }
  await population.write(PER_SECOND, fault())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0, returns: 0 })
  t.equal(acceptedMeanwhile, 0, 'no false acknowledgement')
  t.ok(openMs < 3_000, `the breaker is open after ${openMs} ms`)
  t.ok(errors(world).length > 0 && errors(world).every(({ retryable }) => retryable), 'every error may be tried again')
  return { accepted: verdict.accepted, errors: errors(world).length, openMs, acceptedMeanwhile }
})
