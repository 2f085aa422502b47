/**
 * Group members in Redis: `group_members:<group_id>`, a SET that expires. While Redis is away every call is refused at
 * once, so that nobody pays its time-out again and again; pings find out when it is back, and that it is gone though nothing was asked of it.
 */
import { ReplyError, type Cluster, type Redis } from 'ioredis'
import { GatewayError } from '../../src/errors.ts'
import type { Clock, Health, SharedCache, Timer } from '../../src/ports.ts'

export interface RedisCacheOptions {
  readonly client: Redis | Cluster
  /** Names the temporary keys of this node. */
  readonly nodeId: string
  /** How long a group is kept, give or take a tenth, so that groups read together do not expire together. */
  readonly ttlMs: number
  readonly clock: Clock
  readonly health: Health
  /** 0 to 1. */
  readonly random: () => number
}

type Command = [name: string, ...args: Array<string | number>]

/** One script, for between a look and a write the key may expire. */
const APPLY = "if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end redis.call(ARGV[1], KEYS[1], ARGV[2]) return 1"
const TTL_SPREAD = 0.1
/** Members in one command. */
const CHUNK = 1_000
/** A temporary key outlives the node that died over it by no more. */
const TEMPORARY_MS = 60_000
/** Commands without an answer; more are refused. */
const MAX_IN_FLIGHT = 1_000
/** Between two pings of a Redis that is there, and of one that is away. */
const PROBE_MS = 5_000
const AWAY_PROBE_MS = 1_000
/** Past it lists that missed a change are left to expire. */
const MAX_DOUBTFUL = 10_000
const DELETED_AT_ONCE = 500

export class RedisCache implements SharedCache {
  readonly #options: RedisCacheOptions
  #inFlight = 0
  /** Until the first `ready` there is nothing to call. */
  #isAway = true
  #isClosed = false
  #isReturning = false
  /** Groups whose list in Redis, if there is one, misses a change that it could not take. */
  readonly #doubtful = new Set<string>()
  #probeTimer: Timer | undefined
  /** When it fires, monotonic milliseconds. */
  #probeAtMs = 0

  constructor (options: RedisCacheOptions) {
    const { client, health } = options
    this.#options = options
    client.on('ready', () => { void this.#return() })
    client.on('error', (error: Error) => { this.#isGone(error.message) })
    // Where an error came before it, that one is the reason.
    client.on('close', () => { if (!this.#isAway) this.#isGone('connection lost') })
    health.down('redis', 'not connected yet')
  }

  async members (groupId: string): Promise<string[] | undefined> {
    const members = await this.#call((client) => client.smembers(keyOf(groupId)))
    return members.length === 0 ? undefined : members
  }

  async store (groupId: string, userIds: readonly string[]): Promise<void> {
    const ttlMs = Math.round(this.#options.ttlMs * (1 - TTL_SPREAD + 2 * TTL_SPREAD * this.#options.random()))
    await this.#call(async (client) => {
      // A pipeline resolves whatever became of its commands, and a transaction in it has results of its own.
      const results = await client.pipeline(this.#storeCommands(groupId, userIds, ttlMs)).exec()
      const failure = results?.flat(2).find((part) => part instanceof Error)
      if (failure !== undefined) throw failure
    })
  }

  async apply (groupId: string, userId: string, event: 'join' | 'leave'): Promise<void> {
    try {
      await this.#call((client) => client.eval(APPLY, 1, keyOf(groupId), event === 'join' ? 'SADD' : 'SREM', userId))
    } catch (error) {
      if (this.#doubtful.size < MAX_DOUBTFUL) this.#doubtful.add(groupId)
      // Redis may be there and have refused: nothing else would have the list deleted then.
      this.#probeWithin(AWAY_PROBE_MS)
      throw error
    }
  }

  /** Ends the connection; what was sent is answered before, within the deadline of a command. */
  async close (): Promise<void> {
    this.#isClosed = true
    this.#cancelProbe()
    const { client } = this.#options
    try {
      if (!this.#isAway) await client.quit()
    } catch {
      // Gone already, or too slow to say good-bye to.
    }
    client.disconnect()
  }

  /** The set appears whole or not at all. */
  #storeCommands (groupId: string, userIds: readonly string[], ttlMs: number): Command[] {
    const key = keyOf(groupId)
    if (userIds.length === 0) return [['del', key]]
    // The temporary key's braces put it into the key's own slot of a cluster, unless the id has braces itself: then all in one transaction.
    const inPlace = /[{}]/.test(groupId)
    const target = inPlace ? key : `{${key}}:${this.#options.nodeId}`
    const fill: Command[] = [['del', target]]
    for (let at = 0; at < userIds.length; at += CHUNK) fill.push(['sadd', target, ...userIds.slice(at, at + CHUNK)])
    if (inPlace) return [['multi'], ...fill, ['pexpire', key, ttlMs], ['exec']]
    return [...fill, ['pexpire', target, TEMPORARY_MS], ['multi'], ['rename', target, key], ['pexpire', key, ttlMs], ['exec']]
  }

  async #call<T> (call: (client: Redis | Cluster) => Promise<T>): Promise<T> {
    if (this.#isAway || this.#isClosed) throw new GatewayError('SERVICE_UNAVAILABLE', { detail: 'Redis is away' })
    if (this.#inFlight >= MAX_IN_FLIGHT) throw new GatewayError('OVERLOADED', { detail: 'too many Redis commands under way' })
    this.#inFlight++
    try {
      return await call(this.#options.client)
    } catch (error) {
      // An answer, if not the one that was hoped for, comes from a Redis that is there.
      if (!(error instanceof ReplyError)) this.#isGone((error as Error).message)
      throw new GatewayError('SERVICE_UNAVAILABLE', { cause: error, detail: 'Redis did not do it' })
    } finally {
      this.#inFlight--
    }
  }

  /** Redis is there. Lists that missed a change are deleted first: nodes that start now would believe them. */
  async #return (): Promise<void> {
    if (this.#isReturning || this.#isClosed) return
    this.#isReturning = true
    try {
      for (let some = this.#someDoubtful(); some.length > 0; some = this.#someDoubtful()) {
        await Promise.all(some.map((groupId) => this.#options.client.del(keyOf(groupId))))
        for (const groupId of some) this.#doubtful.delete(groupId)
      }
      this.#isAway = false
      this.#options.health.up('redis')
      this.#cancelProbe()
      this.#probeWithin(PROBE_MS)
    } catch (error) {
      this.#isGone((error as Error).message)
    } finally {
      this.#isReturning = false
    }
  }

  #someDoubtful (): string[] {
    const some: string[] = []
    for (const groupId of this.#doubtful) if (some.push(groupId) === DELETED_AT_ONCE) break
    return some
  }

  #isGone (detail: string): void {
    if (this.#isClosed) return
    this.#isAway = true
    this.#options.health.down('redis', detail)
    this.#probeWithin(AWAY_PROBE_MS)
  }

  #probeWithin (ms: number): void {
    const { clock } = this.#options
    const atMs = clock.monotonicMs() + ms
    if (this.#isClosed || (this.#probeTimer !== undefined && this.#probeAtMs <= atMs)) return
    this.#cancelProbe()
    this.#probeAtMs = atMs
    this.#probeTimer = clock.setTimer(() => { void this.#probe() }, ms)
  }

  #cancelProbe (): void {
    if (this.#probeTimer !== undefined) this.#options.clock.clearTimer(this.#probeTimer)
    this.#probeTimer = undefined
  }

  /** Finds out that the server is frozen although nobody asks it for anything; and brings the cache back, for it does not say `ready` when it goes on. */
  async #probe (): Promise<void> {
    this.#probeTimer = undefined
    if (this.#isClosed) return
    const { client } = this.#options
    if (client.status !== 'ready') {
      this.#probeWithin(AWAY_PROBE_MS)
      return
    }
    try {
      await client.ping()
    } catch (error) {
      // An answer of any kind comes from a Redis that is there; one that was away has to say that it serves.
      if (this.#isAway || !(error instanceof ReplyError)) {
        this.#isGone((error as Error).message)
        return
      }
    }
    await this.#return()
  }
}

function keyOf (groupId: string): string {
  return `group_members:${groupId}`
}
