/** docs/capacity.md: the sums of src/capacity.ts with the chart's node, written out. */
import { parse } from 'yaml'
import {
  ACK_BYTES, BASE_BYTES, capacity, CONNECTION_BYTES, COSTS, ETCD_CONNECT, ETCD_LEAVE, ETCD_WINDOWS, HEARTBEAT_BYTES, memoryLimitFor, nodesFor, PACKETS_BYTES,
  PRIMARY_BYTES, PUSH_NODES, RESERVED_FILES, SPARE_NODES, typicalLoad, usage, USABLE_CORE, USABLE_MEMORY, type Cost, type Load, type NodeShape, type Usage
} from '../../src/capacity.ts'
import { loadSettings } from '../../src/config.ts'
import { parseSize } from '../../src/config/units.ts'
import { MAX_OPERATIONS } from '../../src/registry/batcher.ts'
import { EARLIEST_RENEWAL, MAX_HOLDERS } from '../../src/registry/lease-pool.ts'

const MB = 1024 ** 2
const SIZES = [10_000, 100_000, 1_000_000] as const
export interface ChartValues {
  readonly replicaCount: number
  readonly connectionsPerPod: number
  readonly resources: { readonly requests: { readonly cpu: string, readonly memory: string }, readonly limits: { readonly memory: string } }
}

/** What a container gets from containerd, and what a process has where S12 runs. */
const CONTAINER_FILES = 1_048_576
const S12_FILES = 20_000
const S12_CONNECTIONS = 100_000

/** A pod of the chart with the configuration's defaults. */
export function podShape (memoryLimitBytes: number): NodeShape {
  const probe = { hostName: () => 'pod', memoryLimitBytes: () => memoryLimitBytes, openFilesLimit: () => CONTAINER_FILES, readFile: () => '' }
  return loadSettings({}, { requireServices: false, probe }).derived.shape
}

/** `chart`: the text of its values.yaml. */
export function capacityPage (chart: string): string {
  const { connectionsPerPod, resources } = parse(chart) as ChartValues
  const shape = podShape(parseSize(resources.limits.memory) ?? NaN)
  const columns = SIZES.map((connections) => {
    const load = typicalLoad(connections)
    const nodes = nodesFor(load, shape)
    return { load, nodes, usage: usage(load, shape, nodes) }
  })
  const row = (name: string, cell: (column: typeof columns[number]) => string): string => `| ${name} | ${columns.map(cell).join(' | ')} |`
  const [, , largest] = columns as [typeof columns[number], typeof columns[number], typeof columns[number]]
  const lines = [
    '# Capacity', '',
    '<!-- Written by scripts/generate-docs.ts from src/capacity.ts; do not edit. -->', '',
    'How many nodes a number of connections needs, and what they take. [`src/capacity.ts`](../src/capacity.ts) does the sums, from costs that were measured: for this page, for the default of',
    '`MAX_CONNECTIONS`, for the defaults of the [chart](../charts/im-gateway/values.yaml), and for `--check-config`, which prints them for your settings. Sizes are by 1024.', '',
    '## In short', '',
    `| connections | ${SIZES.map(count).join(' | ')} |`,
    '|---|---|---|---|',
    row(`nodes, of which ${SPARE_NODES} may be away`, ({ nodes }) => count(nodes)),
    row('workers (processes)', ({ usage }) => count(usage.workers)),
    row('connections of a node; while one is away', ({ load, nodes }) => `${count(load.connections / nodes)}; ${count(load.connections / (nodes - SPARE_NODES))}`),
    row('memory of the processes, at most', ({ usage }) => megabytes(usage.memory.userBytes)),
    row('memory of the kernel', ({ usage }) => megabytes(usage.memory.kernelBytes)),
    row('CPU', ({ usage }) => `${usage.cores.toFixed(2)} cores`),
    row('etcd: lease renewals a second', ({ usage }) => count(usage.etcd.renewals)),
    row('etcd: operations a second', ({ usage }) => count(usage.etcd.operations)),
    row('etcd: transactions that carry them, at most', ({ usage }) => count(usage.etcd.transactions)),
    row('etcd: watch events a second, of all nodes', ({ usage }) => count(usage.etcd.watchEvents)),
    row('Kafka: consumers, each its own group', ({ usage }) => count(usage.kafka.consumers)),
    row('Kafka: read by all of them', ({ usage }) => megabits(usage.kafka.bytes)),
    row('network, to and from clients', ({ usage }) => megabits(usage.network.clientBytes)),
    row('network, gRPC', ({ usage }) => megabits(usage.network.grpcBytes)),
    '',
    `A node is a pod of the chart: one process, a memory limit of ${megabytes(shape.memoryLimitBytes)} for ${count(connectionsPerPod)} connections, the configuration's defaults.`,
    ...assumed(largest.load, shape), ...costs(), ...nodeSum(shape), ...clusterSum(largest.load, shape, largest.nodes, largest.usage), ...oneMachine(shape), ...lostNode(largest.load, largest.nodes), ...NOT_INCLUDED
  ]
  return `${lines.join('\n')}\n`
}

function assumed ({ connections, sends, pushes, groupMessages, members, reconnects, messageBytes }: Load, shape: NodeShape): string[] {
  const every = (rate: number): string => count(connections / rate)
  return [
    '', '## What is assumed', '',
    `A busy hour. Each connection sends a message every ${every(sends)} s; a push goes to it every ${every(pushes)} s, by PushStream, and it sends to a group every ${every(groupMessages)} s, of which ${members} members are`,
    `connected, so that it hears from a group every ${every(groupMessages * members)} s. It goes and comes back every ${every(reconnects)} s. A message is ${messageBytes} bytes (200 of text). Heartbeats are ${shape.heartbeatIntervalMs / 1000} s apart, renewals of a lease ${shape.renewIntervalMs / 1000} s.`
  ]
}

function costs (): string[] {
  return [
    '', '## What was measured', '',
    'By the scenarios of [bench/README.md](../bench/README.md), on one core; the values here are those or at most a fifth above, which a test holds.', '',
    '| what | cost | scenario |', '|---|---|---|',
    ...Object.values(COSTS).map(({ about, value, unit, scenario }: Cost) => `| ${about} | ${value} ${unit} | ${scenario} |`)
  ]
}

function nodeSum (shape: NodeShape): string[] {
  const { byMemory, byFiles } = capacity(shape)
  return [
    '', '## What a node holds', '',
    `- A connection: ${COSTS.resident.value} KB of the process + ${COSTS.kernel.value} KB of the kernel, which a container is charged for as well = ${kilobytes(CONNECTION_BYTES)}.`,
    `- By memory: (${USABLE_MEMORY} × ${megabytes(shape.memoryLimitBytes)} − ${megabytes(BASE_BYTES)} base − ${megabytesExactly(shape.cacheBytes)} caches − ${megabytes(shape.outboxTotalBytes)} outboxes) / ${kilobytes(CONNECTION_BYTES)} = ${count(byMemory)}. The other fifth is for garbage and bursts.`,
    `- By open files: ${count(shape.openFilesLimit ?? NaN)} − ${RESERVED_FILES} = ${count(byFiles)}. \`MAX_CONNECTIONS\` is at most the lesser of both.`
  ]
}

function clusterSum (load: Load, shape: NodeShape, nodes: number, { workers, memory, cpu, cores, etcd, kafka, network }: Usage): string[] {
  const { connections, sends, pushes, groupMessages, members, reconnects, messageBytes } = load
  const { connections: room } = capacity(shape)
  const deliveries = groupMessages * members
  const cpuRow = (what: string, rate: number, cost: Cost, part: number): string => `| ${what} | ${count(rate)} | ${cost.value} us | ${part.toFixed(2)} |`
  const heartbeats = connections / (shape.heartbeatIntervalMs / 1000)
  const records = cpu.records / workers
  const fixedBytes = BASE_BYTES + shape.cacheBytes + shape.outboxTotalBytes
  return [
    '', `## The sums for ${count(connections)}`, '',
    '| CPU | a second | each | cores |', '|---|---|---|---|',
    cpuRow('connections', connections, COSTS.idle, cpu.idle),
    cpuRow('sends', sends, COSTS.send, cpu.sends),
    cpuRow(`pushes × ${PUSH_NODES}, for the node that is asked and the device's`, pushes * PUSH_NODES, COSTS.push, cpu.pushes),
    cpuRow(`group messages × ${members} members`, deliveries, COSTS.delivery, cpu.deliveries),
    cpuRow('handshakes', reconnects, COSTS.handshake, cpu.handshakes),
    cpuRow(`group messages × ${workers} workers, each of which reads all`, groupMessages * workers, COSTS.record, cpu.records),
    `| together | | | ${cores.toFixed(2)} |`, '',
    `- **Nodes**: by memory and files ${count(connections)} / ${count(room)} = ${(connections / room).toFixed(2)}. By CPU, of which ${USABLE_CORE} of a core is used, less the ${records.toFixed(3)} that reading takes: (${cores.toFixed(2)} − ${cpu.records.toFixed(2)}) / (${USABLE_CORE} − ${records.toFixed(3)}) = ${((cores - cpu.records) / (USABLE_CORE - records)).toFixed(2)}. The larger, rounded up, and ${SPARE_NODES} to spare: ${nodes}.`,
    `- **Memory**: ${count(connections)} × ${COSTS.resident.value} KB + ${workers} × (${megabytes(BASE_BYTES)} + ${megabytesExactly(shape.cacheBytes)} + ${megabytes(shape.outboxTotalBytes)} = ${megabytesExactly(fixedBytes)}) = ${megabytes(memory.userBytes)}, caches and outboxes full; the kernel ${count(connections)} × ${COSTS.kernel.value} KB = ${megabytes(memory.kernelBytes)}.`,
    `- **etcd, leases**: one for ${MAX_HOLDERS} sessions, and one of each worker that is not full: (${count(connections)} / ${MAX_HOLDERS} + ${workers}) / (${EARLIEST_RENEWAL} × ${shape.renewIntervalMs / 1000} s) = ${count(etcd.renewals)} renewals a second.`,
    `- **etcd, operations**: to connect ${ETCD_CONNECT} (a read and a put), to leave ${ETCD_LEAVE}, and a read for a push whose user's route is not in the cache, here for each: ${count(reconnects)} × ${ETCD_CONNECT + ETCD_LEAVE} + ${count(pushes)} = ${count(etcd.operations)}. A worker begins ${ETCD_WINDOWS} transactions a second at most, of up to ${MAX_OPERATIONS} operations: ${count(etcd.transactions)}.`,
    `- **etcd, watch**: each worker hears of each put and removal: ${count(reconnects)} × 2 × ${workers} = ${count(etcd.watchEvents)} events. There are ${count(connections + workers)} keys.`,
    `- **Kafka**: a consumer each worker, and each reads all: ${count(groupMessages)} × ${messageBytes} bytes × ${kafka.consumers} = ${megabits(kafka.bytes)}.`,
    `- **Clients**: a packet has ${PACKETS_BYTES / 2} bytes of headers and is confirmed by another. Sends and pushes with their acks ${count(sends + pushes)} × (${messageBytes} + ${ACK_BYTES} + 2 × ${PACKETS_BYTES}), group messages ${count(deliveries)} × (${messageBytes} + ${PACKETS_BYTES}), heartbeats ${count(heartbeats)} × (${HEARTBEAT_BYTES} + ${PACKETS_BYTES}) bytes = ${megabits(network.clientBytes)}.`,
    `- **gRPC**: (${count(sends)} sends + ${count(pushes)} pushes × ${PUSH_NODES}) × ${messageBytes} bytes = ${megabits(network.grpcBytes)}.`
  ]
}

function oneMachine (shape: NodeShape): string[] {
  const { byFiles } = capacity({ ...shape, openFilesLimit: S12_FILES })
  const workers = Math.ceil(S12_CONNECTIONS / byFiles)
  const each = Math.ceil(S12_CONNECTIONS / workers)
  const limitBytes = memoryLimitFor(each, { ...shape, workers })
  return [
    '', '## One machine, several processes', '',
    `Where a process may open ${count(S12_FILES)} files, it holds ${count(S12_FILES)} − ${RESERVED_FILES} = ${count(byFiles)} connections. ${count(S12_CONNECTIONS)} of them are ${(S12_CONNECTIONS / byFiles).toFixed(2)} processes: \`WORKERS=${workers}\`, with ${count(each)} connections each; scenario S12 of the bench opens them.`,
    `They need a \`MEMORY_LIMIT\` of ${workers} × (${count(each)} × ${kilobytes(CONNECTION_BYTES)} + ${megabytes(BASE_BYTES)} + ${megabytesExactly(shape.cacheBytes)} + ${megabytes(shape.outboxTotalBytes)}) / ${USABLE_MEMORY} + ${megabytes(PRIMARY_BYTES)} for the primary = ${megabytes(limitBytes)}: ${workers} times the base, caches and outboxes.`
  ]
}

function lostNode ({ connections }: Load, nodes: number): string[] {
  const clients = Math.ceil(connections / nodes)
  const cpuSeconds = clients * COSTS.handshake.value / 1e6
  return [
    '', '## When a node is lost', '',
    `Of ${nodes} nodes with ${count(connections)} connections one is lost: ${count(clients)} clients come back, within seconds where it was killed, as fast as the others can take them where it drains. Their handshakes take ${count(clients)} × ${COSTS.handshake.value} us = ${cpuSeconds.toFixed(1)} s of CPU,`,
    `${(cpuSeconds / (nodes - SPARE_NODES)).toFixed(1)} s on each other node, and ${ETCD_CONNECT} operations each in etcd, ${MAX_OPERATIONS / ETCD_CONNECT} clients a transaction where they come that fast: ${count(clients * ETCD_CONNECT / MAX_OPERATIONS)} transactions, and ${count(clients)} watch events for each node.`
  ]
}

const NOT_INCLUDED = [
  '', '## What is not in it', '',
  '- Readers that do not read: the kernel may hold 4 MB for each before the gateway sees it ([GW-OUT-1] in [behaviour](behaviour.md)).',
  '- TLS on the node (`WS_TLS_CERT`), where no proxy before it ends TLS: neither its memory for each connection nor its CPU for each handshake and frame is counted, in `MAX_CONNECTIONS` and `--check-config` neither.',
  '- Tokens other than HS256; the calls of the Auth Service and of Redis at a handshake; traces.',
  '- The CPU that watch events, renewals and what comes from the network card\'s interrupts take: none of them was measured apart.',
  '- etcd, Kafka, Redis and your services themselves, beyond what they are asked here.',
  '- Another machine: the costs are of the one that bench/README.md names. `npm run bench -- all` measures yours.'
]

function count (value: number): string {
  return Math.ceil(value).toLocaleString('en')
}

function kilobytes (bytes: number): string {
  return `${(bytes / 1024).toFixed(1)} KB`
}

function megabytes (bytes: number): string {
  return `${count(bytes / MB)} MB`
}

/** As it goes into a sum that is written out. */
function megabytesExactly (bytes: number): string {
  return `${Number((bytes / MB).toFixed(2))} MB`
}

function megabits (bytesPerSecond: number): string {
  return `${count(bytesPerSecond * 8 / 1e6)} Mbit/s`
}
