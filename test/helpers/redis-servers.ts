/** Redis servers of a test's own, for the forms that scripts/services.sh does not start: a cluster and a sentinel. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { eventually } from './bus-conformance.ts'
import { freePort } from './free-port.ts'

const PATIENCE_MS = 10_000

/** Starts `redis-server` on a free port of loopback; it ends with the test. `config` are lines of its configuration. */
export async function startRedis (t: Test, config: readonly string[], args: readonly string[] = []): Promise<number> {
  const port = await freePort()
  const directory = await mkdtemp(join(tmpdir(), 'im-gateway-redis-'))
  const file = join(directory, 'redis.conf')
  await writeFile(file, [`port ${port}`, 'bind 127.0.0.1', `dir ${directory}`, ...config, ''].join('\n'))
  const server = spawn('redis-server', [file, ...args], { stdio: 'ignore' })
  t.teardown(async () => {
    const ended = once(server, 'exit')
    server.kill('SIGKILL')
    await ended
    await rm(directory, { recursive: true, force: true })
  })
  await command(port, 'PING')
  return port
}

/** One node that holds all slots. */
export async function startCluster (t: Test): Promise<number> {
  const port = await startRedis(t, ['cluster-enabled yes', 'cluster-announce-ip 127.0.0.1', 'save ""'])
  await command(port, 'CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
  await eventually(async () => String(await command(port, 'CLUSTER', 'INFO')).includes('cluster_state:ok'), PATIENCE_MS)
  return port
}

/** A server called `main` and a sentinel that names it; the sentinel's port. */
export async function startSentinel (t: Test): Promise<number> {
  const server = await startRedis(t, ['save ""'])
  return await startRedis(t, [`sentinel monitor main 127.0.0.1 ${server} 1`], ['--sentinel'])
}

/** Sends one command once the server answers. */
async function command (port: number, name: string, ...args: string[]): Promise<unknown> {
  const client = new Redis({ port, host: '127.0.0.1', enableReadyCheck: false, retryStrategy: () => 50 })
  client.on('error', () => { /* it is not up yet */ })
  try {
    return await client.call(name, ...args)
  } finally {
    client.disconnect()
  }
}
