/** Several workers behind one port on real services: one node to clients, probes, Prometheus and the operator. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ROOT } from '../../src/registry/records.ts'
import { DemoClient } from '../../demo/client.ts'
import type { Explanation } from '../../src/explain/explanation.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { PATIENCE_MS, startNodes, type Nodes } from '../helpers/node-processes.ts'
import { Population } from '../helpers/population.ts'
import { freePort } from '../helpers/free-port.ts'
import { nodeArgs } from '../../demo/node-args.ts'

const PROJECT = join(import.meta.dirname, '../..')
const WORKERS = 3
const NAMES = ['many-0', 'many-1', 'many-2']
const PEOPLE = 300
const PER_SECOND = 200
/** Of its own, so that it stands apart from the ports that the system hands out. */
const GRPC_PORTS_FROM = 9_500

t.setTimeout(280_000)

interface Readiness { readonly ready: boolean, readonly phase: string, readonly workers: ReadonlyArray<{ readonly worker: string, readonly ready: boolean, readonly phase: string }> }
interface Progress { readonly phase: string, readonly total: number, readonly remaining: number, readonly workers: ReadonlyArray<{ readonly worker: string, readonly phase: string }> }

class Workers {
  readonly port: number
  readonly #adminPort: number
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  #words = ''

  private constructor (child: ChildProcess, port: number, adminPort: number) {
    this.#child = child
    this.port = port
    this.#adminPort = adminPort
    this.#ended = once(child, 'exit').then(([code, signal]) => code ?? signal)
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => { this.#words = (this.#words + chunk.toString()).slice(-20_000) })
  }

  static async start (t: Test, node: string, { world }: Nodes, grpcPort: number): Promise<Workers> {
    const [port, adminPort] = [await freePort(), await freePort()]
    const child = spawn(node, nodeArgs('src/main.ts'), {
      cwd: PROJECT,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        NODE_V8_COVERAGE: '',
        ...world.gatewayEnv,
        DRAIN_TIMEOUT: '8s',
        GATEWAY_NODE_ID: 'many',
        LOG_LEVEL: 'info',
        WORKERS: String(WORKERS),
        WS_HOST: '127.0.0.1',
        WS_PORT: String(port),
        GRPC_HOST: '127.0.0.1',
        GRPC_PORT: String(grpcPort),
        ADMIN_PORT: String(adminPort)
      }
    })
    const workers = new Workers(child, port, adminPort)
    t.teardown(async () => {
      child.kill('SIGTERM')
      await workers.ended()
    })
    await eventually(() => workers.readiness().then(({ ready, workers }) => ready && workers.every((each) => each.ready), () => false), PATIENCE_MS)
      .catch((error: unknown) => { throw new Error(workers.#words, { cause: error }) })
    return workers
  }

  async #ask<T> (path: string, init: RequestInit = {}): Promise<T> {
    return await (await fetch(`http://127.0.0.1:${this.#adminPort}${path}`, init)).json() as T
  }

  readiness (): Promise<Readiness> { return this.#ask('/readyz') }
  drain (method: 'GET' | 'POST' | 'DELETE'): Promise<Progress> { return this.#ask('/drain', { method }) }
  connections (query = ''): Promise<{ total: number, listed: number, connections: ReadonlyArray<{ node_id: string }> }> { return this.#ask(`/connections?limit=1000${query}`) }

  explain (msgId: string): Promise<Explanation> { return this.#ask(`/explain?msg_id=${msgId}`) }
  disconnect (userId: string): Promise<{ disconnected: number }> { return this.#ask(`/connections?user=${userId}`, { method: 'DELETE' }) }

  async status (path: string, port = this.#adminPort): Promise<number> {
    return (await fetch(`http://127.0.0.1:${port}${path}`)).status
  }

  /** One metric by its worker. */
  async metric (name: string, port = this.#adminPort): Promise<Record<string, number>> {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
    const lines = [...text.matchAll(new RegExp(`^${name}\\{worker="(\\w+)"\\} (\\S+)$`, 'gm'))]
    return Object.fromEntries(lines.map(([, worker, value]) => [worker, Number(value)]))
  }

  /** `kill -9`. */
  async killWorker (index: number): Promise<void> {
    const pid = this.pidOf(index)
    process.kill(pid, 'SIGKILL')
    await eventually(() => this.pidOf(index) !== pid, PATIENCE_MS)
  }

  pidOf (index: number): number {
    const pids = [...this.#words.matchAll(new RegExp(`"worker":"many-${index}","workerPid":(\\d+),"msg":"worker serves"`, 'g'))]
    return Number(pids.at(-1)?.[1])
  }

  kill (signal: 'SIGTERM'): void { this.#child.kill(signal) }
  ended (): Promise<unknown> { return this.#ended }
}

const ltsNode = (): string => execFileSync(process.execPath, ['scripts/lts.mjs', '--path'], { cwd: PROJECT, encoding: 'utf8' }).trim().split('\n').at(-1) as string

for (const [at, { title, node }] of [
  { title: 'on this Node', node: () => process.execPath },
  { title: 'on a current Node, where each has a socket of its own', node: ltsNode }
].entries()) {
  t.test(`workers behind one port, ${title}`, async (t) => {
    const nodes = await startNodes(t, [])
    const workers = await Workers.start(t, node(), nodes, GRPC_PORTS_FROM + at * WORKERS)
    const population = new Population({ world: nodes.world, outside: nodes.outside, run: nodes.run, people: PEOPLE, groups: 10, groupSize: 20, urls: () => [`ws://127.0.0.1:${workers.port}/ws`] })
    t.teardown(() => { population.close() })
    await population.open(PATIENCE_MS)

    // One answer for all, wherever it is asked for.
    t.match(await workers.metric('im_gateway_workers'), { primary: WORKERS })
    const held = await workers.metric('im_gateway_connections')
    t.equal(Object.values(held).reduce((sum, value) => sum + value, 0), PEOPLE)
    t.strictSame(Object.keys(held), ['0', '1', '2'])
    t.ok(Object.values(held).every((value) => value > PEOPLE / WORKERS / 4), `each has its part: ${JSON.stringify(held)}`)
    t.strictSame(await workers.metric('im_gateway_connections', workers.port), held, 'a worker that is asked tells of all')
    t.strictSame([await workers.status('/healthz'), await workers.status('/readyz'), await workers.status('/healthz', workers.port), await workers.status('/readyz', workers.port)], [200, 200, 200, 200])
    const listed = await workers.connections()
    t.match(listed, { total: PEOPLE, listed: PEOPLE })
    t.strictSame([...new Set(listed.connections.map((each) => each.node_id))].sort(), NAMES)
    t.match([await workers.connections('&node=many'), await workers.connections('&node=many-1')], [{ listed: PEOPLE }, { listed: held['1'] }], 'the name of the node means all its workers')
    t.equal(await workers.status('/drain', workers.port), 404)

    // Whichever worker has a client, the primary tells the way of its message, and ends its socket.
    const guest = await DemoClient.connect({ url: `ws://127.0.0.1:${workers.port}/ws`, token: nodes.world.auth.mint('guest', 'phone').accessToken })
    await guest.send('nobody', 'hi', { msgId: 'way-1' }).catch(() => {})
    const { events, nodes: memories } = await workers.explain('way-1')
    t.strictSame(events.slice(0, 2).map(({ step }) => step), ['sent', 'upstream'])
    t.match(memories, NAMES.map((name) => ({ node_id: name, error: undefined })))
    t.match(await workers.disconnect('guest'), { disconnected: 1 })
    t.match(await guest.closed(), { code: 4403 })

    // One is killed under traffic: another takes its place, and its clients are back.
    let servedAgainMs = 0
    const die = async (): Promise<void> => {
      const started = performance.now()
      await workers.killWorker(1)
      await eventually(() => population.isOpen, PATIENCE_MS)
      servedAgainMs = Math.round(performance.now() - started)
    }
    await population.write(PER_SECOND, die())
    const verdict = await population.verdict(PATIENCE_MS)
    t.comment(JSON.stringify({ ...verdict, servedAgainMs }))
    t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
    t.match(await workers.metric('im_gateway_worker_restarts_total'), { primary: 1 })
    t.ok((await workers.readiness()).ready)

    // Drained, one that is replaced stays empty with the others; then all take clients again.
    await workers.drain('POST')
    await eventually(async () => (await workers.drain('GET')).phase === 'held', PATIENCE_MS)
    t.match(await workers.drain('GET'), { remaining: 0, workers: NAMES.map((worker) => ({ worker, phase: 'held' })) })
    t.equal(await workers.status('/readyz', workers.port), 503)
    await workers.killWorker(2)
    await eventually(async () => (await workers.drain('GET')).phase === 'held', PATIENCE_MS)
    t.notOk((await workers.readiness()).ready, 'nobody is let in by the new one')
    t.match(await workers.drain('DELETE'), { phase: 'off' })
    await eventually(() => population.isOpen, PATIENCE_MS)
    t.match(await population.verdict(PATIENCE_MS), { lost: 0, duplicates: 0, outOfOrder: 0 })

    // The end of the primary is that of all.
    population.close()
    workers.kill('SIGTERM')
    t.equal(await workers.ended(), 0)
    t.strictSame((await nodes.outside.kv.range(ROOT, { prefix: true })).entries, [])
  })
}
