/** What the configuration can carry, for `--check-config`: the sums of docs/capacity.md with this node's figures. */
import { typicalLoad, usage, USABLE_CORE, workerBytes } from '../capacity.ts'
import type { Settings } from '../config.ts'

/** Lines of comment; warnings, where something does not fit, at their end. */
export function capacityText ({ derived }: Settings): string {
  const { shape, capacity: { byMemory, byFiles, limitedBy }, maxConnections, maxMemoryBytes } = derived
  const connections = maxConnections * shape.workers
  // A node is a cluster of its own here: what others add is the reading of their group messages.
  const { memory, cores, etcd } = usage(typicalLoad(connections), shape, 1)
  const ofEach = shape.workers > 1 ? ` in each of ${shape.workers} workers` : ''
  const lines = [
    `connections: ${count(maxConnections)}${ofEach}; memory allows ${count(byMemory)}, open files ${byFiles === Infinity ? 'any number' : count(byFiles)}`,
    `memory with ${count(connections)} connections, caches and outboxes full: ${megabytes(memory.userBytes)} and ${megabytes(memory.kernelBytes)} of the kernel, of ${megabytes(shape.memoryLimitBytes)}`,
    `under the load that docs/capacity.md assumes: ${cores.toFixed(2)} cores; in etcd ${count(etcd.renewals)} lease renewals, ${count(etcd.operations)} operations and ${count(etcd.watchEvents)} watch events a second`
  ]
  const coresOfEach = cores / shape.workers
  if (coresOfEach > USABLE_CORE) lines.push(`warning: a process would use ${coresOfEach.toFixed(2)} cores, more than ${USABLE_CORE}: more WORKERS, or a lower MAX_CONNECTIONS and more nodes`)
  if (limitedBy === 'open files' && maxConnections === byFiles) lines.push('warning: the open-files limit allows fewer connections than memory does: raise it (ulimit -n), or more WORKERS')
  if (workerBytes(maxConnections, shape) > maxMemoryBytes) lines.push(`warning: upgrades are refused when ${megabytes(maxMemoryBytes)} are in use (MAX_MEMORY_PERCENT), which may be before there are ${count(maxConnections)} connections${ofEach}`)
  return lines.map((line) => `# ${line}`).join('\n')
}

function count (value: number): string {
  return Math.ceil(value).toLocaleString('en')
}

function megabytes (bytes: number): string {
  return `${count(bytes / 1024 ** 2)} MB`
}
