/** The gateway as it is deployed: its own program with several workers behind one port, on real etcd, Kafka and Redis. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs, { type Producer } from 'kafkajs'
import { freePort } from '../../test/helpers/free-port.ts'
import { groupRecord } from '../peers/control.ts'
import { gatewayEnvironment } from './gateway-environment.ts'
import { BOTH_CORES, cpuUs, pinned, residentBytes } from './machine.ts'
import type { NodeSurroundings } from './peers.ts'
import type { MeasuredServer } from './server.ts'

const { Kafka, logLevel, Partitioners } = kafkajs

const GROUP_TOPIC = 'group_msg'
const TOPICS = [GROUP_TOPIC, 'membership_change', 'read_receipt_events']
/** Those of the workers follow; above all that the benchmarks use otherwise. */
const GRPC_PORT = 62_600
const START_TIMEOUT_MS = 60_000
const POLL_MS = 100

export class GatewayProgram implements MeasuredServer {
  readonly port: number
  readonly #child: ChildProcess
  readonly #producer: Producer
  #sent = 0

  private constructor (child: ChildProcess, port: number, producer: Producer) {
    this.#child = child
    this.port = port
    this.#producer = producer
  }

  /** Resolves once `/readyz` of the port says so. */
  static async start ({ services, bearer, node, real: { etcd = '', kafka = '', redis = '' } }: NodeSurroundings, workers: number): Promise<GatewayProgram> {
    const producer = await openTopics(kafka)
    const port = await freePort()
    const [program, args] = pinned(BOTH_CORES, process.execPath, [join(import.meta.dirname, '../../src/main.js')])
    const env = {
      ...process.env,
      ...gatewayEnvironment({ node, bearer, services }),
      WORKERS: String(workers),
      LOG_LEVEL: 'error',
      WS_PORT: String(port),
      GRPC_PORT: String(GRPC_PORT),
      ADMIN_PORT: String(await freePort()),
      ETCD_ENDPOINTS: etcd,
      KAFKA_BROKERS: kafka,
      REDIS_ADDR: redis,
      // Six of them, their services and all clients share two cores.
      MAX_EVENT_LOOP_DELAY: '1m',
      ADMISSION_TIMEOUT: '20s',
      REGISTRATION_TIMEOUT: '30s',
      HANDSHAKE_TIMEOUT: '1m'
    }
    const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'], env })
    const server = new GatewayProgram(child, port, producer)
    const killWithUs = (): void => { server.#killAll() }
    process.once('exit', killWithUs)
    child.once('exit', () => { process.removeListener('exit', killWithUs) })
    const deadline = performance.now() + START_TIMEOUT_MS
    while (!await fetch(`http://127.0.0.1:${port}/readyz`).then(({ ok }) => ok, () => false)) {
      if (performance.now() > deadline || child.exitCode !== null) throw new Error('the gateway does not start')
      await sleep(POLL_MS)
    }
    return server
  }

  /** Of the primary. */
  get pid (): number { return this.#child.pid as number }
  get workerPids (): readonly number[] { return readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8').trim().split(' ').map(Number) }
  get cpuUs (): number { return [this.pid, ...this.workerPids].reduce((sum, pid) => sum + cpuUs(pid), 0) }

  /** All workers together, as they are: nobody can make them collect. */
  async residentBytes (): Promise<number> {
    return this.workerPids.reduce((sum, pid) => sum + residentBytes(pid), 0)
  }

  async ask<T> (name: string, count: string | number = 1, groupId: string | number = 'group'): Promise<T> {
    if (name !== 'broadcast') throw new Error(`the gateway's program knows no ${name}`)
    const messages = Array.from({ length: Number(count) }, () => ({ key: String(groupId), value: groupRecord(String(groupId), ++this.#sent) }))
    await this.#producer.send({ topic: GROUP_TOPIC, messages })
    return undefined as T
  }

  async kill (): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#killAll()
    await ended
    await this.#producer.disconnect()
  }

  async stop (): Promise<void> { await this.kill() }

  /** Workers whose primary is gone would drain. */
  #killAll (): void {
    for (const pid of [this.pid, ...this.workerPids]) process.kill(pid, 'SIGKILL')
  }
}

async function openTopics (brokers: string): Promise<Producer> {
  const kafka = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.ERROR })
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: TOPICS.map((topic) => ({ topic, numPartitions: 3 })), waitForLeaders: true })
  await admin.disconnect()
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, allowAutoTopicCreation: false })
  await producer.connect()
  return producer
}
