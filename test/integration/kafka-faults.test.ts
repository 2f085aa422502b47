import { connect } from 'node:net'
import t from 'tap'
import { eventually, Sink } from '../helpers/bus-conformance.ts'
import { KafkaWorld } from '../helpers/kafka-world.ts'
import { startService } from '../helpers/services.ts'

const PATIENCE_MS = 45_000
t.setTimeout(180_000)

t.test('a broker that is killed, or frozen for longer than any request may take, costs a pause and no record', async (t) => {
  const services = await startService(['kafka'])
  t.teardown(() => services.stop())
  const address = services.address('KAFKA_BROKERS')
  const port = Number(address.slice(address.indexOf(':') + 1))
  const world = await new KafkaWorld([address]).open()
  t.teardown(() => world.close())
  const { bus, health } = world.node({ sessionTimeoutMs: 6_000 })
  const sink = new Sink()
  bus.start(sink.handle)
  await bus.ready

  const acknowledged: string[] = []
  const over = new AbortController()
  const traffic = (async () => {
    for (let i = 0; !over.signal.aborted; i++) {
      try {
        await world.produce(i % 2 === 0 ? 'group_msg' : 'membership_change', `g${i % 5}`, `v${i}`)
        acknowledged.push(`v${i}`)
      } catch {
        // Not acknowledged: nobody promised it.
      }
      await new Promise((resolve) => { setTimeout(resolve, 5) })
    }
  })()
  t.teardown(() => { over.abort() })
  const faults: Array<[string, () => Promise<unknown>, () => Promise<unknown>]> = [
    ['killed', () => services.kill('kafka1'), async () => {
      await eventually(() => refuses(port), PATIENCE_MS)
      await services.restart('kafka')
    }],
    ['frozen', () => services.freeze('kafka1'), async () => {
      await eventually(() => health.downs.has('kafka'), PATIENCE_MS)
      await services.thaw('kafka1')
    }]
  ]
  for (const [name, fault, heal] of faults) {
    const before = acknowledged.length
    await eventually(() => acknowledged.length > before + 20, PATIENCE_MS)
    await fault()
    await heal()
    const healed = acknowledged.length
    await eventually(() => acknowledged.length > healed + 20, PATIENCE_MS)
    await sink.until(sink.has(...acknowledged.slice(0, healed + 20)), PATIENCE_MS)
    t.pass(name)
  }
  over.abort()
  await traffic
  await sink.until(sink.has(...acknowledged), PATIENCE_MS)
  await eventually(() => !health.downs.has('kafka'), PATIENCE_MS)
  const repeated = sink.values.length - new Set(sink.values).size
  t.comment(`${acknowledged.length} acknowledged, ${sink.values.length} received, ${repeated} repeated`)
  t.ok(repeated <= 5, 'a producer that tries again may write twice; the node reads nothing twice')
})

/** A killed process may hold its port for a moment. */
function refuses (port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(false)
    })
    socket.once('error', () => { resolve(true) })
  })
}
