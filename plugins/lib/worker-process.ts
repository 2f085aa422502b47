/**
 * Processes that share one port. Where the kernel spreads connections over sockets with SO_REUSEPORT, each worker has one
 * of its own; elsewhere Node's cluster module hands connections on.
 */
import { fork, type ChildProcess } from 'node:child_process'
import cluster from 'node:cluster'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { WorkerEvents, WorkerProcess } from '../../src/workers/worker-pool.ts'

/** `listen` has the option from Node 22.12 and 23.1 on; of the systems that know it only Linux spreads connections for certain. */
export function supportsReusePort (version = process.versions.node, platform: string = process.platform): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return platform === 'linux' && (major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12))
}

/** Starts `script --worker INDEX`. */
export function spawnWorker (script: string, index: number, events: WorkerEvents): WorkerProcess {
  const child = start(script, ['--worker', String(index)])
  let isGone = false
  const gone = (how: number | string): void => {
    if (isGone) return
    isGone = true
    events.onExit(how)
  }
  child.on('message', (message) => { events.onMessage(message) })
  child.once('exit', (code, signal) => { gone(code ?? signal ?? 'nothing') })
  // It could not be started; or a message did not reach it, which its exit tells as well.
  child.on('error', (error) => { if (child.pid === undefined) gone(error.message) })
  return { pid: child.pid, send: (message) => { if (child.connected) child.send(message, () => {}) }, kill: (signal) => { child.kill(signal) } }
}

function start (script: string, args: string[]): ChildProcess {
  if (supportsReusePort()) return fork(script, args, { serialization: 'advanced' })
  cluster.setupPrimary({ exec: script, args, serialization: 'advanced' })
  return cluster.fork().process as ChildProcess
}

/**
 * Opens what is a worker's alone. Under the cluster module every port of a worker is its primary's, which goes on to accept
 * connections while the worker that has the port is replaced, and leaves those hanging: only the shared port may be so.
 */
export async function withOwnPorts<T> (open: () => Promise<T>): Promise<T> {
  const { isPrimary } = cluster
  // `net` looks at it at each listen (lib/net.js, listenInCluster).
  Object.assign(cluster, { isPrimary: true })
  try {
    return await open()
  } finally {
    Object.assign(cluster, { isPrimary })
  }
}

/** Rejects where another program has the port, which sockets with SO_REUSEPORT would share without a word. */
export async function assertPortFree (host: string, port: number): Promise<void> {
  const server = createServer().listen({ host, port, exclusive: true })
  await once(server, 'listening')
  server.close()
  await once(server, 'close')
}
