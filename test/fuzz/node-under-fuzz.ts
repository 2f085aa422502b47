/**
 * The node that is fuzzed, whole, in a process of its own: what nobody catches ends it, and its parent sees that. Asked
 * over IPC it plays what Kafka and etcd say, and tells what it holds.
 */
import { createRequire } from 'node:module'
import { pino } from 'pino'
import { installCodecs } from '../../plugins/lib/kafka-codecs.ts'
import { boundBatches } from '../../plugins/lib/kafka-batches.ts'
import { boundRecordHeaders } from '../../plugins/lib/kafka-record-headers.ts'
import { MemoryBroker } from '../../src/embedded/memory-bus.ts'
import { MemoryKv } from '../../src/embedded/memory-kv.ts'
import { MemoryStore } from '../../src/embedded/memory-store.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { GatewayError } from '../../src/errors.ts'
import type { KvBatchResult, KvEntry, KvOperation, KvWatch, RangeOptions, RangeResult, WatchHandlers } from '../../src/ports.ts'
import { heldBy } from '../helpers/held.ts'
import { startNode } from '../helpers/app.ts'
import { FakeServices } from '../helpers/fake-services.ts'
import { FODDER, GROUP, MUTE, NEIGHBOUR, PROBE } from './people.ts'
import { serve } from './served-calls.ts'
import type { BatchCase, EtcdCase, RecordCase } from './stores.ts'

/** What the node holds, and how many lines of its log are errors. */
export interface Figures { readonly held: Readonly<Record<string, number>>, readonly errors: readonly string[], readonly series: number, readonly residentBytes: number }

const require = createRequire(import.meta.url)
const Decoder = require('kafkajs/src/protocol/decoder.js') as new (buffer: Buffer) => object
const decodeBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder.js') as (decoder: object) => Promise<{ records: unknown[] }>

/** A store that is true, but for the answers it is told to give, and whose watch says more than happened. */
class LyingKv extends MemoryKv {
  lies: EtcdCase['answers'][number][] = []
  #handlers: WatchHandlers | undefined
  #lastRevision = 0

  override watch (prefix: string, fromRevision: number, handlers: WatchHandlers): KvWatch {
    this.#handlers = handlers
    return super.watch(prefix, fromRevision, handlers)
  }

  override async range (key: string, options: RangeOptions = {}): Promise<RangeResult> {
    const truth = await super.range(key, options)
    this.#lastRevision = truth.revision
    const lie = this.lies.shift()
    return lie === undefined ? truth : { revision: truth.revision + lie.ahead, more: lie.more, entries: this.#entries(lie.entries) }
  }

  /** Reads alone are lied about: a put that is denied rightly ends a session. */
  override async batch (operations: readonly KvOperation[]): Promise<KvBatchResult> {
    const truth = await super.batch(operations)
    this.#lastRevision = truth.revision
    return {
      revision: truth.revision,
      results: truth.results.map((result, i) => {
        const lie = operations[i]?.then === undefined ? this.lies.shift() : undefined
        return lie === undefined ? result : { ...result, entries: this.#entries(lie.entries) }
      })
    }
  }

  say (events: EtcdCase['events']): void {
    const told = events.map(({ type, key, value, ahead }) => ({ key, revision: this.#lastRevision + ahead, ...(type === 'put' ? { type, value } : { type }) }))
    this.#handlers?.onEvents(told, Math.max(this.#lastRevision, ...told.map(({ revision }) => revision)))
  }

  end (how: 'cut' | 'compacted'): void {
    if (how === 'cut') this.endWatches()
    else this.#handlers?.onEnd({ compactedAt: this.#lastRevision })
  }

  #entries (entries: EtcdCase['answers'][number]['entries']): KvEntry[] {
    return entries.map(({ key, value, ahead }) => ({ key, value, modRevision: this.#lastRevision + ahead, leaseId: '1' }))
  }
}

const errors: string[] = []
const logger = pino({ level: 'error' }, { write: (line: string) => { errors.push(line) } })
const clock = systemClock
const store = new MemoryStore({ clock })
const broker = new MemoryBroker({ clock, logger })
const services = await new FakeServices().start()
services.users.groups.set(GROUP, [NEIGHBOUR, FODDER, MUTE])
const kv = new LyingKv({ clock, store })
const { app, port } = await startNode({ services, store, broker }, {
  HANDSHAKE_TIMEOUT: '1s',
  ADMISSION_TIMEOUT: '300ms',
  AUTH_TIMEOUT: '500ms',
  CLOSE_TIMEOUT: '500ms',
  ACK_TIMEOUT: '1s',
  IM_TIMEOUT: '2s',
  IM_ATTEMPT_TIMEOUT: '1s',
  USER_TIMEOUT: '1s',
  HANDSHAKES_PER_IP: '0',
  HANDSHAKES_PER_USER: '0',
  MAX_PENDING_HANDSHAKES_PER_IP: '1000',
  ALLOW_QUERY_TOKEN: 'true',
  GRPC_REFLECTION: 'true'
}, { kv, logger })
installCodecs()
boundBatches()
boundRecordHeaders()

async function figures (): Promise<Figures> {
  const sockets = await new Promise<number>((resolve, reject) => { app.server.getConnections((error, count) => { if (error === null) resolve(count); else reject(error) }) })
  const series = (await app.metrics.expose()).split('\n').filter((line) => line !== '' && !line.startsWith('#')).length
  return {
    held: {
      sockets,
      ...heldBy(app.gateway),
      'registered sessions': store.range('/registry/users/', { prefix: true }).entries.length
    },
    errors: errors.splice(0),
    series,
    residentBytes: process.memoryUsage.rss()
  }
}

async function playRecord ({ topic, key, value, traceparent }: RecordCase): Promise<void> {
  const bytes = (hex: string | null): Buffer | null => hex === null ? null : Buffer.from(hex, 'hex')
  await broker.produce(topic, bytes(key), bytes(value), { traceparent }).catch(rejectsUnexpected)
}

/** However it is broken, the batch has records for the consumer to go on behind. */
async function playBatch ({ codec, count, compressed }: BatchCase): Promise<void> {
  const body = Buffer.from(compressed, 'hex')
  const header = Buffer.alloc(61)
  header.writeInt32BE(header.length - 12 + body.length, 8)
  header.writeInt8(2, 16)
  header.writeInt16BE(codec, 21)
  header.writeInt32BE(count - 1, 23)
  header.writeInt32BE(count, 57)
  await decodeBatch(new Decoder(Buffer.concat([header, body])))
}

async function playEtcd ({ events, answers, end, userId, nodeId }: EtcdCase): Promise<void> {
  const { registry } = app
  kv.say(events)
  kv.lies = [...answers]
  registry.isRevoked(userId, 'phone', 0)
  await Promise.all([registry.admit(userId, 'phone'), registry.locate(userId, { fresh: true }).catch(rejectsUnexpected), registry.locate(userId).catch(rejectsUnexpected), registry.nodeAddress(nodeId).catch(rejectsUnexpected)])
  if (end !== 'not') kv.end(end)
}

/** All that the ports may reject with are errors of the table. */
function rejectsUnexpected (error: unknown): void {
  if (!(error instanceof GatewayError)) throw error
}

/** One message of the group on each partition, to those who are connected. */
async function probe (name: string): Promise<void> {
  for (let n = 0; n < 3; n++) {
    await broker.produce('group_msg', null, JSON.stringify({ msg_id: `${PROBE}${name}-${n}`, group_id: GROUP, sender_id: 'bob', content: 'hi', message_type: 'text', sequence_number: 1, timestamp: 1 }))
  }
}

/** Nothing that was told falsely is left: everything is read again, truly. */
function tellTheTruth (): void {
  kv.lies = []
  kv.end('compacted')
}

serve({ figures, record: playRecord, batch: playBatch, etcd: playEtcd, probe, truth: tellTheTruth }, { port, grpcPort: app.pushServer.port })
