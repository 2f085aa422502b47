import Fastify, { type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import t, { type Test } from 'tap'
import groups, { type GroupsOptions } from '../../plugins/groups.ts'
import { MemoryBroker } from '../../src/embedded/memory-bus.ts'
import { GroupWorld, idsOf, settled } from '../helpers/group-world.ts'

/** The plugin over the hub and the outbox of a world; the world's own consumer gets nothing. */
async function open (t: Test, world: GroupWorld, options: Partial<GroupsOptions> = {}): Promise<{ app: FastifyInstance, broker: MemoryBroker }> {
  const { clock, meter, logger, hub, outbox, users } = world
  const broker = new MemoryBroker({ clock, logger })
  const app = Fastify()
  t.teardown(() => app.close())
  for (const name of ['connections', 'upstream', 'cache', 'kafka']) await app.register(fp(async () => {}, { name }))
  app.decorate('gateway', { hub, outbox } as FastifyInstance['gateway'])
  app.decorate('users', users)
  app.decorate('sharedCache', undefined)
  app.decorate('groupBus', broker.consumer())
  await app.register(groups, { largeGroupSize: 5, membershipCacheBytes: 1_048_576, cacheTtlMs: 1_000, maxWaitingRecords: 10, maxWaitingBytes: 1e6, clock, meter, logger, ...options })
  return { app, broker }
}

t.test('records flow from the bus to the members once the node is ready, and no more once it is closed', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'ann')
  const { app, broker } = await open(t, world)
  const ann = world.connect('ann')
  const produce = async (id: string) => {
    const { topic, key, value } = world.message('group_a', id)
    await broker.produce(topic, key, value)
    await settled()
  }
  await produce('early')
  t.strictSame(idsOf(ann), [])
  await app.ready()
  await produce('m1')
  t.strictSame(idsOf(ann), ['m1'])
  await app.close()
  await produce('late')
  t.strictSame(idsOf(ann), ['m1'])
})

t.test('options that make no sense are refused', async (t) => {
  for (const wrong of [{ largeGroupSize: 0 }, { membershipCacheBytes: 1_000 }, { cacheTtlMs: 0 }, { maxWaitingRecords: 0 }, { maxWaitingBytes: 0 }]) {
    await t.rejects(open(t, new GroupWorld(), wrong), { name: 'RangeError' }, Object.keys(wrong).join())
  }
})
