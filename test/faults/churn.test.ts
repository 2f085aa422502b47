/** Clients that leave before they are registered. */
import { setTimeout as pause } from 'node:timers/promises'
import { USERS } from '../../src/registry/records.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { RawClient } from '../helpers/raw-client.ts'
import type { FaultWorld } from './harness/fault-world.ts'
import { PATIENCE_MS, row } from './harness/row.ts'

const ROUNDS = 10_000
/** Rounds of different users run side by side. */
const LANES = 16
const ORPHAN_MS = 1_000
/** Of a handshake, from its request to its welcome, on a busy machine. */
const HANDSHAKE_MS = 20

/** Where in its life a connection ends. */
type Moment = 'asked' | 'soon' | 'upgraded' | 'welcomed'
const MOMENTS: readonly Moment[] = ['asked', 'soon', 'upgraded', 'welcomed']

/** One connection from its request to its end; whether it was welcomed. */
async function round (world: FaultWorld, port: number, user: string): Promise<boolean> {
  const moment = MOMENTS[Math.floor(world.random() * MOMENTS.length)] as Moment
  const afterMs = Math.floor(world.random() * HANDSHAKE_MS)
  const isClean = world.random() < 0.3
  let wasWelcomed = false
  const { client, welcomed } = RawClient.open({ port, token: world.world.auth.mint(user, 'phone').accessToken })
  const end = (): void => { if (isClean) client.socket.end(); else client.reset() }
  void welcomed.then((isWelcome) => {
    wasWelcomed = isWelcome
    if (isWelcome) client.close()
  })
  if (moment === 'asked') client.socket.once('connect', end)
  else if (moment === 'upgraded') client.socket.once('data', end)
  else if (moment === 'soon') setTimeout(end, afterMs)
  await client.closed
  return wasWelcomed
}

row('C6', '[GW-CON-6] clients that leave before they are registered leave no key behind', { nodes: ['node-a', 'node-b'] }, async (t, world) => {
  let next = 0
  let welcomed = 0
  const lane = async (name: number): Promise<void> => {
    while (next < ROUNDS) {
      const port = world.nodes[next++ % world.nodes.length]?.port ?? 0
      if (await round(world, port, `churn${name}-${world.run}`)) welcomed++
    }
  }
  await Promise.all(Array.from({ length: LANES }, (_, name) => lane(name)))
  await eventually(async () => await world.count('connections ') === 0 && await world.count('pending_handshakes') === 0, PATIENCE_MS)
  await pause(ORPHAN_MS)
  const orphans = (await world.outside.kv.range(USERS, { prefix: true })).entries.length
  t.equal(orphans, 0, 'no key is left')
  t.ok(welcomed > ROUNDS / 10 && welcomed < ROUNDS * 0.9, `${welcomed} were welcomed before they left`)
  return { rounds: ROUNDS, welcomed, left: ROUNDS - welcomed, orphans }
})
