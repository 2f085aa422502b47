/** etcd's gRPC in front of the in-process store, as far as the registry calls it: for tests of a node whose client of etcd is the real one. */
import { fileURLToPath } from 'node:url'
import { loadPackageDefinition, Server, ServerCredentials, status, type GrpcObject, type ServerDuplexStream, type ServerUnaryCall, type UntypedServiceImplementation } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import type { ICompare, IEvent, IKeyValue, ILeaseKeepAliveRequest, IRangeRequest, IRequestOp, IResponseOp, ITxnRequest, IWatchRequest } from 'etcd3'
import { MemoryKv } from '../../src/embedded/memory-kv.ts'
import type { MemoryStore } from '../../src/embedded/memory-store.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { KvCompactedError, KvRejectedError, type KvCondition, type KvEntry, type KvOperation, type KvOperationResult, type RangeOptions } from '../../src/ports.ts'

const PROTO = fileURLToPath(new URL('../proto/rpc.proto', import.meta.resolve('etcd3')))

type Service = { readonly service: Parameters<Server['addService']>[0] }
type Done = (error: object | null, answer?: object) => void

export class FakeEtcd {
  readonly #kv: MemoryKv
  readonly #services: Readonly<Record<string, Service>>
  readonly #watches = new Set<ServerDuplexStream<IWatchRequest, object>>()
  /** After how many events the next watches end. */
  #breaks: readonly number[] = []
  #server: Server | undefined
  #port = 0

  constructor (store: MemoryStore) {
    this.#kv = new MemoryKv({ clock: systemClock, store })
    const loaded = loadPackageDefinition(loadSync(PROTO, { keepCase: true, longs: String, enums: String, defaults: true }))
    this.#services = (loaded as { readonly etcdserverpb: GrpcObject }).etcdserverpb as unknown as Readonly<Record<string, Service>>
  }

  /** As a client takes it. */
  get address (): string { return `http://127.0.0.1:${this.#port}` }

  /** Serves on a free port, or again on the port it had. */
  async start (): Promise<this> {
    const server = new Server()
    const handlers: Readonly<Record<string, UntypedServiceImplementation>> = { KV: this.#keys(), Lease: this.#leases(), Watch: { Watch: (stream: ServerDuplexStream<IWatchRequest, object>) => { this.#watch(stream) } } }
    for (const [name, handler] of Object.entries(handlers)) server.addService((this.#services[name] as Service).service, handler)
    this.#port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${this.#port}`, ServerCredentials.createInsecure(), (error, bound) => { if (error === null) resolve(bound); else reject(error) })
    })
    this.#server = server
    return this
  }

  /** Cuts every connection and stops listening; what was stored stays. */
  stop (): void {
    this.#server?.forceShutdown()
    this.#server = undefined
  }

  /** Takes calls and answers none of them, until `thaw`. */
  freeze (): void { this.#kv.freeze() }
  thaw (): void { this.#kv.heal() }

  /** The watches end, and the ones that follow each after so many events at most, for a revision is told as a whole; then they hold again. */
  breakWatches (...afterEvents: readonly number[]): void {
    this.#breaks = afterEvents
    for (const stream of this.#watches) breakOff(stream)
  }

  #keys (): UntypedServiceImplementation {
    return {
      Range: answers(async (request: Required<IRangeRequest>) => {
        const { key, options } = rangeOf(request)
        const { revision, entries, more } = await this.#kv.range(key, options)
        return { header: { revision }, kvs: entries.map(keyValueOf), more }
      }),
      Txn: answers(async ({ success = [] }: ITxnRequest) => {
        const operations = success.map(operationOf)
        const { revision, results } = await this.#kv.batch(operations)
        return { header: { revision }, succeeded: true, responses: results.map((result, i) => responseOf(operations[i], result)) }
      })
    }
  }

  #leases (): UntypedServiceImplementation {
    return {
      LeaseGrant: answers(async ({ TTL }: { TTL: string }) => ({ ID: await this.#kv.grantLease(Number(TTL)), TTL })),
      LeaseRevoke: answers(async ({ ID }: { ID: string }) => { await this.#kv.revokeLease(ID); return {} }),
      LeaseKeepAlive: (stream: ServerDuplexStream<ILeaseKeepAliveRequest, object>) => {
        stream.on('data', ({ ID = '' }: { ID?: string }) => { void this.#kv.renewLease(ID).then((TTL) => { stream.write({ ID, TTL }) }) })
        stream.on('end', () => { stream.end() })
      }
    }
  }

  #watch (stream: ServerDuplexStream<IWatchRequest, object>): void {
    this.#watches.add(stream)
    stream.on('error', () => { this.#watches.delete(stream) })
    stream.on('data', ({ create_request: asked }: { create_request?: { key: Buffer, start_revision: string } | null }) => {
      if (asked === null || asked === undefined) return
      const [breakAfter = Infinity, ...breaks] = this.#breaks
      this.#breaks = breaks
      let left = breakAfter
      const tell = (revision: number, facts: object): void => { stream.write({ header: { revision }, watch_id: 0, ...facts }) }
      tell(this.#kv.store.revision, { created: true })
      const watch = this.#kv.watch(asked.key.toString(), Number(asked.start_revision), {
        onEvents: (events, revision) => {
          left -= events.length
          if (left >= 0) tell(revision, { events: events.map(eventOf) })
          if (left <= 0) breakOff(stream)
        },
        onProgress: (revision) => { tell(revision, {}) },
        onEnd: ({ compactedAt = 0 }) => { tell(this.#kv.store.revision, { canceled: true, compact_revision: compactedAt }) }
      })
      stream.on('error', () => { watch.cancel() })
      stream.on('cancelled', () => {
        this.#watches.delete(stream)
        watch.cancel()
      })
    })
  }
}

/** What was written before leaves; then the call ends. */
function breakOff (stream: ServerDuplexStream<IWatchRequest, object>): void {
  stream.emit('error', { code: status.UNAVAILABLE, details: 'the watch was broken off' })
}

function answers<Req> (work: (request: Req) => Promise<object>): (call: ServerUnaryCall<Req, object>, done: Done) => void {
  return ({ request }, done) => {
    work(request).then((answer) => { done(null, answer) }, (error: Error) => { done({ code: codeOf(error), details: error.message }) })
  }
}

function codeOf (error: Error): status {
  if (error instanceof KvCompactedError) return status.OUT_OF_RANGE
  if (error instanceof KvRejectedError) return error.reason === 'lease' ? status.NOT_FOUND : status.INVALID_ARGUMENT
  return status.UNAVAILABLE
}

/** The way back from what plugins/lib/etcd-codec.ts makes. */
function rangeOf ({ key, range_end: end, limit, revision }: Required<IRangeRequest>): { key: string, options: RangeOptions } {
  const from = key.toString()
  const isPrefix = end.length > 0
  const prefix = isPrefix ? prefixOf(end as Buffer) : from
  return {
    key: prefix,
    options: { prefix: isPrefix, limit: Number(limit), ...(Number(revision) > 0 && { atRevision: Number(revision) }), ...(from !== prefix && { startAfter: from.slice(0, -1) }) }
  }
}

function prefixOf (end: Buffer): string {
  const prefix = Buffer.from(end)
  prefix[prefix.length - 1] = (prefix.at(-1) ?? 0) - 1
  return prefix.toString()
}

function operationOf ({ request_range: range, request_txn: txn }: IRequestOp): KvOperation {
  if (range != null) return { when: [], then: undefined, otherwise: readOf(range as Required<IRangeRequest>) }
  const otherWay = txn?.failure?.[0]?.request_txn ?? undefined
  const [write, read] = [txn?.success?.[0], (otherWay ?? txn)?.failure?.[0]?.request_range]
  const put = write?.request_put
  const when = (txn?.compare ?? []).map(conditionOf)
  return {
    when: otherWay === undefined ? when : when.map((condition) => condition.kind === 'value' ? { ...condition, kind: 'absent-or-value' } : condition),
    then: put != null
      ? { put: String(put.key), value: String(put.value), leaseId: String(put.lease) }
      : write?.request_delete_range == null ? undefined : { remove: String(write.request_delete_range.key) },
    ...(read != null && { otherwise: readOf(read as Required<IRangeRequest>) })
  }
}

function readOf (range: Required<IRangeRequest>): { read: string, prefix: boolean } {
  const { key, options } = rangeOf(range)
  return { read: key, prefix: options.prefix === true }
}

function conditionOf ({ target, key, range_end: end, value, mod_revision: revision }: ICompare): KvCondition {
  if (String(target) === 'Version') return { kind: 'absent', key: String(key) }
  if (String(target) === 'Value') return { kind: 'value', key: String(key), equals: String(value) }
  return { kind: 'prefix-unchanged', prefix: prefixOf(end as Buffer), revision: Number(revision) - 1 }
}

function responseOf (operation: KvOperation | undefined, { succeeded, entries }: KvOperationResult): object {
  const range = { response_range: { kvs: entries.map(keyValueOf) } } as unknown as IResponseOp
  if (operation?.then === undefined) return range
  const answer = { response_txn: { succeeded, responses: succeeded ? [{ response_put: {} }] : operation.otherwise === undefined ? [] : [range] } }
  // It was the second way, where there is one.
  return operation.when.some(({ kind }) => kind === 'absent-or-value') ? { response_txn: { succeeded: false, responses: [answer] } } : answer
}

function keyValueOf ({ key, value, modRevision, leaseId }: KvEntry): IKeyValue {
  return { key: Buffer.from(key), value: Buffer.from(value), mod_revision: String(modRevision), lease: leaseId } as unknown as IKeyValue
}

function eventOf (event: { type: 'put' | 'delete', key: string, value?: string, revision: number }): IEvent {
  const { type, key, value = '', revision } = event
  return { type: type === 'put' ? 'Put' : 'Delete', kv: keyValueOf({ key, value, modRevision: revision, leaseId: '0' }) } as unknown as IEvent
}
