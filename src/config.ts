/**
 * Environment to one frozen, typed Config with units in the names. Only `app.ts`, `main.ts` and the demo see it;
 * modules take narrow options that are made from it.
 */
import type { HostPort, RedisAddress } from './config/addresses.ts'
import { buildConfig } from './config/build.ts'
import { check } from './config/checks.ts'
import { derive, type Derived } from './config/derive.ts'
import { ConfigError, parseEnvironment, type Environment, type Fault } from './config/parse.ts'
import { machineProbe, type Probe } from './config/probe.ts'
import { VARIABLE_NAMES, type Values } from './config/table.ts'

export { ConfigError, type Fault }

/** PEM texts of a TLS client; an empty object is TLS with the system's certificates. */
export interface TlsClientConfig { readonly ca?: string, readonly cert?: string, readonly key?: string }
/** PEM texts of a TLS server; with `ca` callers have to show a certificate with one of `allowedSans`. */
export interface TlsServerConfig { readonly cert: string, readonly key: string, readonly ca: string | undefined, readonly allowedSans: readonly string[] }
/** PEM texts of the public port; `files`: where they came from, both from files, to be read again. */
export interface PublicTlsConfig { readonly cert: string, readonly key: string, readonly files: { readonly cert: string, readonly key: string } | undefined }

export interface Config {
  readonly node: { readonly nodeId: string, readonly version: string }
  /** Processes behind one port; `index`: which of them this is, undefined for the primary and where there is one alone. */
  readonly workers: { readonly count: number, readonly index: number | undefined }
  readonly log: { readonly level: string }
  readonly tracing: {
    /** Base URL of an OTLP collector; undefined: off. */
    readonly endpoint: string | undefined
    /** Share of the traces that begin here, 0 to 1. */
    readonly sampleRatio: number
  }
  readonly ws: {
    readonly host: string
    readonly port: number
    /** undefined: plain HTTP. */
    readonly tls: PublicTlsConfig | undefined
    readonly readBufferBytes: number
    readonly writeBufferBytes: number
    readonly maxMessageBytes: number
    readonly closeTimeoutMs: number
  }
  readonly outbox: { readonly outboxBytes: number, readonly outboxTotalBytes: number, readonly writeWaitMs: number }
  readonly heartbeat: { readonly intervalMs: number, readonly timeoutMs: number }
  readonly limits: { readonly messagesPerSecond: number, readonly devicesPerUser: number, readonly maxConnections: number, readonly maxConnectionsPerIp: number }
  readonly handshake: {
    readonly timeoutMs: number
    readonly maxPending: number
    readonly maxPendingPerIp: number
    /** 0: off. */
    readonly perIp: number
    /** 0: off. */
    readonly perUser: number
    readonly windowMs: number
    readonly limiter: 'redis' | 'local'
    readonly allowedOrigins: readonly string[]
    readonly allowEmptyOrigin: boolean
    readonly allowQueryToken: boolean
    readonly trustedProxies: readonly string[]
  }
  readonly auth: {
    readonly mode: 'service' | 'local'
    /** undefined only with `mode` local, or where services are not required. */
    readonly serviceAddr: string | undefined
    readonly timeoutMs: number
    readonly cacheTtlMs: number
    readonly cacheEntries: number
    readonly maxPendingCalls: number
    /** At most one kind of key is set; with none the Auth Service alone decides. */
    readonly jwt: {
      readonly secret: string | undefined
      readonly previousSecret: string | undefined
      /** PEM text. */
      readonly publicKey: string | undefined
      readonly jwksUrl: string | undefined
      readonly jwksTimeoutMs: number
      readonly issuer: string | undefined
      readonly audience: string | undefined
      readonly clockToleranceMs: number
    }
  }
  readonly im: { readonly serviceAddr: string | undefined, readonly timeoutMs: number, readonly attemptTimeoutMs: number, readonly maxInFlight: number }
  readonly user: { readonly serviceAddr: string | undefined, readonly timeoutMs: number }
  /** How the Auth, IM and User Services are called. */
  readonly upstream: { readonly channels: number, readonly keepaliveIntervalMs: number, readonly keepaliveTimeoutMs: number, readonly tls: TlsClientConfig | undefined }
  readonly grpc: {
    readonly host: string
    readonly port: number
    /** `host:port` for others; ends in `:0` where the port is chosen only when the server listens. */
    readonly advertiseAddr: string
    readonly authToken: string | undefined
    readonly previousAuthToken: string | undefined
    readonly tls: TlsServerConfig | undefined
    readonly reflection: boolean
    readonly maxConnectionAgeMs: number
  }
  readonly push: { readonly ackTimeoutMs: number, readonly maxPendingPushes: number, readonly maxPendingBytes: number }
  readonly etcd: { readonly endpoints: readonly string[], readonly username: string | undefined, readonly password: string | undefined, readonly tls: TlsClientConfig | undefined, readonly timeoutMs: number }
  readonly registry: { readonly ttlMs: number, readonly renewIntervalMs: number, readonly admissionTimeoutMs: number, readonly registrationTimeoutMs: number, readonly routeCacheEntries: number }
  readonly redis: {
    /** undefined only where services are not required. */
    readonly address: RedisAddress | undefined
    readonly username: string | undefined
    readonly password: string | undefined
    readonly sentinelPassword: string | undefined
    readonly db: number
    readonly tls: TlsClientConfig | undefined
    readonly timeoutMs: number
  }
  readonly kafka: {
    /** `host:port`; empty only where services are not required. */
    readonly brokers: readonly string[]
    readonly groupId: string
    readonly topics: { readonly groupMessages: string, readonly membership: string, readonly receipts: string }
    readonly minBytes: number
    readonly maxBytes: number
    readonly maxWaitMs: number
    /** 0: never. */
    readonly commitIntervalMs: number
    readonly sessionTimeoutMs: number
    readonly metadataMaxAgeMs: number
    readonly readyTimeoutMs: number
    readonly sasl: { readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512', readonly username: string, readonly password: string } | undefined
    readonly tls: TlsClientConfig | undefined
  }
  readonly groups: { readonly largeGroupSize: number, readonly membershipCacheBytes: number, readonly cacheTtlMs: number, readonly maxWaitingRecords: number, readonly maxWaitingBytes: number }
  readonly overload: { readonly memoryLimitBytes: number, readonly maxMemoryBytes: number, readonly maxResidentBytes: number, readonly maxEventLoopDelayMs: number }
  /** What is remembered of messages; no entries: nothing. */
  readonly explain: { readonly entries: number, readonly bytes: number }
  readonly drain: { readonly delayMs: number, readonly timeoutMs: number }
  /** undefined: there is no admin server. */
  readonly admin: { readonly host: string, readonly port: number, readonly token: string | undefined } | undefined
}

export interface LoadOptions {
  /** The production entry: the addresses of all outside systems have to be there. */
  readonly requireServices: boolean
  /** Which of the WORKERS this process is. */
  readonly worker?: number
  /** What the machine says; a fake in tests. */
  readonly probe?: Probe
}

/** A configuration and what it was made from, for `--print-config`. */
export interface Settings { readonly config: Config, readonly values: Values, readonly derived: Derived, readonly given: ReadonlySet<string> }

/** Reads and checks everything. Throws a ConfigError with all faults at once. */
export function loadSettings (env: Environment, options: LoadOptions): Settings {
  const probe = options.probe ?? machineProbe
  const { values, faults, given } = parseEnvironment(env, (path) => probe.readFile(path))
  const derived = derive(values, probe, options.worker)
  const all = [...faults, ...check({ values, derived, given, requireServices: options.requireServices }, faults)]
  if (all.length > 0) throw new ConfigError(inTableOrder(all))
  return { config: buildConfig(values, derived, (name) => env[`${name}_FILE`]), values, derived, given }
}

/** The Config alone. Throws a ConfigError with all faults at once. */
export function loadConfig (env: Environment, options: LoadOptions): Config {
  return loadSettings(env, options).config
}

function inTableOrder (faults: readonly Fault[]): Fault[] {
  const place = ({ names }: Fault): number => VARIABLE_NAMES.findIndex((name) => names.includes(name))
  return [...faults].sort((a, b) => place(a) - place(b))
}

export type { HostPort, RedisAddress, Environment, Probe }
