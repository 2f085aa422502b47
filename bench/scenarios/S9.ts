/** One of three nodes is killed while messages flow, and its clients return to the other two. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { GATEWAY } from '../lib/peers.ts'
import { etcdTransactions } from '../lib/real-services.ts'
import { SCRATCH } from '../lib/scratch.ts'
import { medianOf, extremesOf, type Scenario } from '../lib/scenario.ts'

const NODES = 3
const CONNECTIONS = 6_000
const RETURNING = CONNECTIONS / NODES
/** Handshakes under way at once, of those who come back: a storm, as it is. */
const AT_ONCE = 1_000
const PER_SECOND = 1_000
const SENDING_MS = 12_000
const WARM_UP_MS = 3_000
const KILL_AFTER_MS = 3_000
const MIN_USERS = 50
const MAX_STALL_MS = 10

export const S9: Scenario = {
  id: 'S9',
  title: `One of ${NODES} nodes killed while ${PER_SECOND.toLocaleString('en')} messages a second flow, its ${RETURNING.toLocaleString('en')} clients return to the others`,
  units: { return: 'ms', users: 'per transaction', stall: 'ms', lost: 'messages' },
  peers: [GATEWAY],
  without: { 'all others': 'they keep no registry of their clients' },
  repeats: 5,
  real: ['etcd'],
  async measure ({ server, load, services, surroundings, anotherServer }) {
    const survivors = [await anotherServer(), await anotherServer()]
    await load.target(...[server, ...survivors].map(({ port }) => port))
    await load.open(CONNECTIONS)
    await load.openLoop(PER_SECOND, WARM_UP_MS)
    await load.reset()
    const answered = join(SCRATCH, 'answered')
    await load.answered(answered)
    await load.returning(AT_ONCE)
    const received = services.remember()
    for (const each of survivors) await each.ask('watchLoop')
    const before = await etcdTransactions(surroundings.real.etcd ?? '')
    const sending = load.openLoop(PER_SECOND, SENDING_MS)
    await sleep(KILL_AFTER_MS)
    await server.kill()
    await sending
    const transactions = await etcdTransactions(surroundings.real.etcd ?? '') - before
    const delays = await Promise.all(survivors.map((each) => each.ask<{ p999Ms: number }>('loopDelays')))
    const { up, closed, sent, replies, repeats, abandoned, returnMs } = await load.stats()
    await load.answered()
    services.forget()
    const ids = readFileSync(answered, 'utf8').trim().split('\n')
    if (up !== CONNECTIONS || closed !== RETURNING) throw new Error(`${up} of ${CONNECTIONS} are up again, ${closed} of ${RETURNING} were lost`)
    if (repeats > 0 || sent !== replies + abandoned || ids.length !== replies || new Set(ids).size !== replies) throw new Error(`${sent} sent, ${replies} answered, ${repeats} twice, ${ids.length} noted, ${abandoned} on lost connections`)
    return { return: returnMs, users: RETURNING / transactions, stall: Math.max(...delays.map(({ p999Ms }) => p999Ms)), lost: ids.filter((id) => !received.has(id)).length }
  },
  judge: (results) => {
    const [lost, users, stall] = [extremesOf(results, GATEWAY, 'lost').most, medianOf(results, GATEWAY, 'users'), medianOf(results, GATEWAY, 'stall')]
    return [
      { target: 'no acknowledged message lost', met: lost === 0, seen: `${lost}` },
      { target: `at least ${MIN_USERS} registrations in an etcd transaction`, met: users >= MIN_USERS, seen: users.toFixed(0) },
      { target: `p99.9 of the survivors' event-loop delay at most ${MAX_STALL_MS} ms`, met: stall <= MAX_STALL_MS, seen: `${stall.toFixed(1)} ms` }
    ]
  }
}
