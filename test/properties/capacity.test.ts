import fc from 'fast-check'
import t from 'tap'
import { capacity, CONNECTION_BYTES, memoryLimitFor, nodesFor, SPARE_NODES, usage, USABLE_CORE, type Load, type NodeShape } from '../../src/capacity.ts'

const MB = 1024 ** 2
const seed = process.env['FC_SEED']
const runs = { numRuns: 300, ...(seed !== undefined && { seed: Number(seed) }) }

const rates = fc.record({
  connections: fc.integer({ min: 1, max: 5_000_000 }),
  sends: fc.integer({ min: 0, max: 100_000 }),
  pushes: fc.integer({ min: 0, max: 100_000 }),
  groupMessages: fc.integer({ min: 0, max: 10_000 }),
  members: fc.integer({ min: 0, max: 1_000 }),
  reconnects: fc.integer({ min: 0, max: 10_000 }),
  messageBytes: fc.integer({ min: 50, max: 10_000 })
})
const shapes = fc.record({
  memoryLimitBytes: fc.integer({ min: 1_200, max: 16_384 }).map((megabytes) => megabytes * MB),
  workers: fc.constantFrom(1, 2),
  cacheBytes: fc.constant(76 * MB),
  outboxTotalBytes: fc.constant(64 * MB),
  openFilesLimit: fc.constantFrom(undefined, 20_000, 1_048_576),
  heartbeatIntervalMs: fc.integer({ min: 5_000, max: 60_000 }),
  renewIntervalMs: fc.integer({ min: 5_000, max: 60_000 })
})
t.test('so many nodes hold the load while one is away, and one fewer would not', async (t) => {
  const holds = (load: Load, shape: NodeShape, nodes: number): boolean =>
    nodes > 0 && nodes * shape.workers * capacity(shape).connections >= load.connections && usage(load, shape, nodes).cores <= nodes * shape.workers * USABLE_CORE * (1 + 1e-9)
  fc.assert(fc.property(rates, shapes, (load, shape) => {
    const nodes = nodesFor(load, shape) - SPARE_NODES
    return holds(load, shape, nodes) && !holds(load, shape, nodes - 1)
  }), runs)
  t.pass()
})

t.test('more of anything never needs less of anything', async (t) => {
  const sums = (load: Load, shape: NodeShape): number[] => {
    const nodes = nodesFor(load, shape)
    const { workers, memory, cpu, cores, etcd, kafka, network } = usage(load, shape, nodes)
    return [nodes, workers, cores, ...[memory, cpu, etcd, kafka, network].flatMap((part) => Object.values(part))]
  }
  fc.assert(fc.property(rates, shapes, fc.constantFrom<keyof Load>('connections', 'sends', 'pushes', 'groupMessages', 'members', 'reconnects', 'messageBytes'), fc.integer({ min: 1, max: 1_000 }), (load, shape, name, by) => {
    const [less, more] = [sums(load, shape), sums({ ...load, [name]: load[name] + by }, shape)]
    return less.every((value, at) => value <= (more[at] as number) * (1 + 1e-9))
  }), runs)
  t.pass()
})

t.test('the memory limit for so many connections holds them, and a connection less room does not', async (t) => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 500_000 }), shapes, (connections, shape) => {
    const limit = memoryLimitFor(connections, shape)
    return capacity({ ...shape, memoryLimitBytes: limit + 4 }).byMemory === connections &&
      capacity({ ...shape, memoryLimitBytes: limit - shape.workers * CONNECTION_BYTES }).byMemory < connections
  }), runs)
  t.pass()
})
