import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { capacityPage, podShape, type ChartValues } from '../../scripts/lib/capacity-page.ts'
import { BASE_BYTES, capacity, CONNECTION_BYTES, COSTS, KERNEL_CONNECTION_BYTES, memoryLimitFor, nodesFor, processMemoryBytes, SPARE_NODES, typicalLoad, usage, USABLE_CORE, type Load, type NodeShape } from '../../src/capacity.ts'

const MB = 1024 ** 2
const read = (path: string): string => readFileSync(join(import.meta.dirname, '../..', path), 'utf8')
const values = read('charts/im-gateway/values.yaml')
const chart = parse(values) as ChartValues
const shape: NodeShape = { memoryLimitBytes: 1024 * MB, workers: 1, cacheBytes: 76 * MB, outboxTotalBytes: 64 * MB, openFilesLimit: 1_048_576, heartbeatIntervalMs: 30_000, renewIntervalMs: 30_000 }

/** Two digits, rounded up. */
function ceil (value: number): number {
  const unit = 10 ** (Math.floor(Math.log10(value)) - 1)
  return Number((Math.ceil(value / unit) * unit).toPrecision(2))
}

for (const [name, { value, scenario, figure }] of Object.entries(COSTS)) {
  t.test(`the ${name} cost is what ${scenario} measured, or at most a fifth above`, async (t) => {
    const { rows } = JSON.parse(read(`bench/results/${scenario}.json`)) as { rows: Record<string, Record<string, { median: number }>> }
    const measured = rows['im-gateway']?.[figure]?.median ?? NaN
    t.ok(value >= measured && value <= measured * 1.2, `bench/results/${scenario}.json says ${measured.toFixed(2)}: set COSTS.${name} in src/capacity.ts to ${ceil(measured)}, not ${value}; then npm run docs`)
  })
}

t.test('docs/capacity.md is what the sums say', async (t) => {
  t.equal(read('docs/capacity.md'), capacityPage(values), 'npm run docs')
})

t.test('the defaults of the chart are what the sums ask for', async (t) => {
  const { replicaCount, connectionsPerPod, resources: { requests, limits } } = chart
  const pod = podShape(Number.parseInt(limits.memory) * MB)
  const needed = `${Math.ceil(memoryLimitFor(connectionsPerPod, pod) / MB / 64) * 64}Mi`
  t.equal(limits.memory, needed, `charts/im-gateway/values.yaml: the memory of ${connectionsPerPod} connections, in steps of 64 MB; then npm run docs`)
  t.equal(requests.memory, limits.memory, 'what is not there is not promised')
  const load = typicalLoad(connectionsPerPod * (replicaCount - SPARE_NODES))
  t.equal(nodesFor(load, pod), replicaCount, 'one pod may be away; where CPU asks for more: fewer connectionsPerPod')
  const milliCpu = usage(load, pod, replicaCount - SPARE_NODES).cores / (replicaCount - SPARE_NODES) * 1000
  t.ok(Number.parseInt(requests.cpu) >= milliCpu, `a pod uses ${milliCpu.toFixed(0)}m`)
})

t.test('memory is shared by the workers, and the lesser of memory and open files decides', async (t) => {
  t.equal(processMemoryBytes({ memoryLimitBytes: 480 * MB, workers: 4 }), 100 * MB)
  t.equal(processMemoryBytes({ memoryLimitBytes: 480 * MB, workers: 1 }), 480 * MB)
  t.equal(processMemoryBytes({ memoryLimitBytes: MB, workers: 4 }), 0)
  const byMemory = Math.floor((0.8 * 1024 * MB - BASE_BYTES - (76 + 64) * MB) / CONNECTION_BYTES)
  t.same(capacity(shape), { connections: byMemory, byMemory, byFiles: 1_048_064, limitedBy: 'memory' })
  t.match(capacity({ ...shape, openFilesLimit: 20_000 }), { connections: 19_488, limitedBy: 'open files' })
  t.match(capacity({ ...shape, openFilesLimit: undefined }), { connections: byMemory, byFiles: Infinity, limitedBy: 'memory' })
  t.match(capacity({ ...shape, memoryLimitBytes: 100 * MB, openFilesLimit: 100 }), { connections: 0, byMemory: 0, byFiles: 0 })
})

t.test('what a load takes is the sum of its parts', async (t) => {
  const load: Load = { connections: 60_000, sends: 1_000, pushes: 500, groupMessages: 100, members: 40, reconnects: 20, messageBytes: 400 }
  const { workers, memory, cpu, cores, etcd, kafka, network } = usage(load, { ...shape, workers: 2, heartbeatIntervalMs: 15_000 }, 3)
  t.equal(workers, 6)
  t.same(memory, { userBytes: 60_000 * (CONNECTION_BYTES - KERNEL_CONNECTION_BYTES) + 6 * (BASE_BYTES + (76 + 64) * MB) + 3 * 80 * MB, kernelBytes: 60_000 * KERNEL_CONNECTION_BYTES })
  const us = { idle: 2 * 60_000 * COSTS.idle.value, sends: 1_000 * COSTS.send.value, pushes: 2 * 500 * COSTS.push.value, deliveries: 4_000 * COSTS.delivery.value, handshakes: 20 * COSTS.handshake.value, records: 6 * 100 * COSTS.record.value }
  t.same(cpu, Object.fromEntries(Object.entries(us).map(([name, value]) => [name, value / 1e6])))
  t.equal(cores.toFixed(9), (Object.values(us).reduce((sum, part) => sum + part) / 1e6).toFixed(9))
  t.same(etcd, { renewals: (120 + 6) / 27, operations: 560, transactions: 560, watchEvents: 240 })
  t.same(kafka, { consumers: 6, bytes: 100 * 400 * 6 })
  t.same(network, { clientBytes: 1_500 * (400 + 115 + 264) + 4_000 * (400 + 132) + 4_000 * (8 + 132), grpcBytes: 2_000 * 400 })
  t.equal(usage({ ...load, reconnects: 1_000 }, shape, 3).etcd.transactions, 1_500, 'a transaction each 2 ms')
  t.equal(usage({ ...load, reconnects: 100_000 }, shape, 3).etcd.transactions, 3_005, 'or each hundred operations')
})

t.test('no number of nodes does where each cannot even read what all read, or holds nobody', async (t) => {
  t.equal(nodesFor({ ...typicalLoad(1_000), groupMessages: USABLE_CORE * 1e6 / COSTS.record.value }, shape), Infinity)
  t.equal(nodesFor(typicalLoad(1_000), { ...shape, openFilesLimit: 512 }), Infinity)
})
