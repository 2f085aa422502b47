/** The registry's store on etcd, by the raw clients of etcd3: nested transactions, deadlines, watches of our own. */
import type { Etcd3, ILeaseKeepAliveResponse } from 'etcd3'
import type { KvBatchResult, KvOperation, KvStore, KvWatch, RangeOptions, RangeResult, WatchHandlers } from '../../src/ports.ts'
import { entriesOf, rangeRequest, refusalOf, requestOp, resultOf, unavailable } from './etcd-codec.ts'
import { EtcdConnection, type EtcdConnectionOptions } from './etcd-connection.ts'
import { EtcdWatch } from './etcd-watch.ts'

export type EtcdKvOptions = EtcdConnectionOptions

export class EtcdKv implements KvStore {
  readonly #options: EtcdKvOptions
  readonly #connection: EtcdConnection
  readonly #watches = new Set<EtcdWatch>()

  constructor (options: EtcdKvOptions) {
    this.#options = options
    this.#connection = new EtcdConnection(options)
  }

  async range (key: string, options: RangeOptions = {}): Promise<RangeResult> {
    const { header, kvs, more } = await this.#call((client) => client.kv.range(rangeRequest(key, options)))
    return { revision: Number(header.revision), entries: entriesOf(kvs), more }
  }

  async batch (operations: readonly KvOperation[]): Promise<KvBatchResult> {
    const { header, responses } = await this.#call((client) => client.kv.txn({ success: operations.map(requestOp) }))
    return { revision: Number(header.revision), results: operations.map((operation, index) => resultOf(operation, responses[index])) }
  }

  async grantLease (ttlSeconds: number): Promise<string> {
    return (await this.#call((client) => client.leaseClient.leaseGrant({ TTL: ttlSeconds }))).ID
  }

  async renewLease (leaseId: string): Promise<number> {
    return Math.max(0, Number((await this.#call((client) => keepAliveOnce(client, leaseId))).TTL))
  }

  async revokeLease (leaseId: string): Promise<void> {
    await this.#call((client) => client.leaseClient.leaseRevoke({ ID: leaseId }))
  }

  watch (prefix: string, fromRevision: number, handlers: WatchHandlers): KvWatch {
    const { clock, timeoutMs } = this.#options
    const { client } = this.#connection
    const watch = new EtcdWatch({
      client,
      clock,
      prefix,
      fromRevision,
      timeoutMs,
      handlers,
      onAnswer: () => this.#connection.answered(),
      onFailure: (error) => {
        this.#watches.delete(watch)
        this.#connection.failed(client, error)
      }
    })
    this.#watches.add(watch)
    return {
      cancel: () => {
        this.#watches.delete(watch)
        watch.cancel()
      }
    }
  }

  /** Watches end unheard, calls under way fail. */
  async close (): Promise<void> {
    for (const watch of this.#watches) watch.cancel()
    this.#watches.clear()
    this.#connection.close()
  }

  async #call<T> (work: (client: Etcd3) => Promise<T>): Promise<T> {
    const { client } = this.#connection
    try {
      const answer = await work(client)
      this.#connection.answered()
      return answer
    } catch (error) {
      const refusal = refusalOf(error)
      if (refusal !== undefined) {
        this.#connection.answered()
        throw refusal
      }
      this.#connection.failed(client, error)
      throw unavailable(error)
    }
  }
}

/** One renewal on a stream of its own, which the call's deadline ends. */
async function keepAliveOnce (client: Etcd3, leaseId: string): Promise<ILeaseKeepAliveResponse> {
  const stream = await client.leaseClient.leaseKeepAlive()
  try {
    return await new Promise((resolve, reject) => {
      stream.on('data', resolve)
      stream.on('error', reject)
      stream.on('end', () => { reject(new Error('etcd ended the renewal')) })
      stream.write({ ID: leaseId })
    })
  } finally {
    stream.end()
  }
}
