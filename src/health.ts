/**
 * Whether this node should get traffic, and how its dependencies are [GW-OBS-4]. Readiness fails only while the node
 * starts, drains or is overloaded, and before the bus's first fetch for a bounded time. A dependency that falls away
 * later is told and never fails it: all nodes would leave the load balancer at once.
 */
import type { Clock, Dependency, Health, Logger, Meter, Timer } from './ports.ts'

export type Phase = 'starting' | 'serving' | 'draining'
/** `unknown`: it has not been called yet. */
export type DependencyState = 'up' | 'down' | 'unknown'

export interface DependencyReport {
  readonly state: DependencyState
  /** ISO 8601. */
  readonly since: string
  readonly detail?: string
}

export interface HealthReport {
  readonly ready: boolean
  readonly phase: Phase
  /** Why it is not ready. */
  readonly reason?: string
  /** Since when the phase holds, ISO 8601. */
  readonly since: string
  readonly dependencies: Readonly<Partial<Record<Dependency, DependencyReport>>>
}

export interface HealthBoardOptions {
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  /** What this node calls. */
  readonly dependencies: readonly Dependency[]
  /** Why the node is overloaded; undefined: it is not. */
  readonly overload: () => string | undefined
}

/** What a node calls, so that readiness names nothing else: the IM and the User Service, and of the others those that are not replaced. */
export function dependenciesOf (called: Readonly<Record<Exclude<Dependency, 'im' | 'user'>, boolean>>): Dependency[] {
  const all: readonly Dependency[] = ['auth', 'im', 'user', 'etcd', 'redis', 'kafka']
  return all.filter((name) => name === 'im' || name === 'user' || called[name])
}

/** Hosts and ports in the words of sockets, resolvers and gRPC: `/readyz` answers on the public port too. */
const ADDRESS = /\S+:\d{1,5}\b|\b\d{1,3}(?:\.\d{1,3}){3}\b|(?<=\b(?:ENOTFOUND|EAI_AGAIN) )\S+/g

interface Entry { state: DependencyState, sinceUnixMs: number, detail: string | undefined }

export class HealthBoard implements Health {
  readonly #options: HealthBoardOptions
  readonly #entries = new Map<Dependency, Entry>()
  #phase: Phase = 'starting'
  #sinceUnixMs: number
  /** The bus has not fetched yet, and its time is not up. */
  #gated = false
  #gateTimer: Timer | undefined

  constructor (options: HealthBoardOptions) {
    this.#options = options
    this.#sinceUnixMs = options.clock.unixMs()
    for (const dependency of options.dependencies) {
      this.#entries.set(dependency, { state: 'unknown', sinceUnixMs: this.#sinceUnixMs, detail: undefined })
      options.meter.source('degraded', () => this.#entries.get(dependency)?.state === 'down' ? 1 : 0, dependency)
    }
    options.meter.source('ready', () => this.notReadyReason() === undefined ? 1 : 0)
    options.meter.source('draining', () => this.#phase === 'draining' ? 1 : 0)
  }

  get phase (): Phase { return this.#phase }

  up (dependency: Dependency): void {
    this.#change(dependency, 'up', undefined)
  }

  /** `detail`: what happened, no secrets. It is shown to whoever asks for readiness, without the addresses in it, and logged with them. */
  down (dependency: Dependency, detail: string): void {
    this.#change(dependency, 'down', detail)
  }

  /** Everything is open and listening, or a drain was called off. */
  serving (): void { this.#enter('serving') }
  draining (): void { this.#enter('draining') }

  /** Holds readiness back until `ready` resolves, `timeoutMs` at most: a node without its bus still serves all else. */
  waitForBus (ready: Promise<void>, timeoutMs: number): void {
    const { clock, logger } = this.#options
    this.#gated = true
    this.#gateTimer = clock.setTimer(() => {
      this.#gated = false
      logger.warn({ timeoutMs }, 'ready without the group bus')
    }, timeoutMs)
    const open = (): void => {
      this.#gated = false
      this.stop()
    }
    ready.then(open, () => { /* the time-out opens it */ })
  }

  /** Lets the timer go. */
  stop (): void {
    if (this.#gateTimer !== undefined) this.#options.clock.clearTimer(this.#gateTimer)
    this.#gateTimer = undefined
  }

  /** Why the node should get no traffic; undefined: it should. */
  notReadyReason (): string | undefined {
    if (this.#phase !== 'serving') return this.#phase
    if (this.#gated) return 'waiting for the first fetch of the group bus'
    const overload = this.#options.overload()
    return overload === undefined ? undefined : `overloaded: ${overload}`
  }

  report (): HealthReport {
    const reason = this.notReadyReason()
    const dependencies: Partial<Record<Dependency, DependencyReport>> = {}
    for (const [name, { state, sinceUnixMs, detail }] of this.#entries) {
      dependencies[name] = { state, since: iso(sinceUnixMs), ...(detail !== undefined && { detail }) }
    }
    return { ready: reason === undefined, phase: this.#phase, ...(reason !== undefined && { reason }), since: iso(this.#sinceUnixMs), dependencies }
  }

  #enter (phase: Phase): void {
    if (this.#phase === phase) return
    this.#phase = phase
    this.#sinceUnixMs = this.#options.clock.unixMs()
    this.#options.logger.info({ phase }, 'phase changed')
  }

  #change (dependency: Dependency, state: DependencyState, detail: string | undefined): void {
    const entry = this.#entries.get(dependency)
    if (entry === undefined) return
    entry.detail = detail?.replace(ADDRESS, '(address)')
    if (entry.state === state) return
    // The first answer of a dependency is no news.
    if (state === 'down') this.#options.logger.warn({ dependency, detail }, 'dependency does not answer')
    else if (entry.state === 'down') this.#options.logger.info({ dependency }, 'dependency answers again')
    entry.state = state
    entry.sinceUnixMs = this.#options.clock.unixMs()
  }
}

/** The report as JSON with a line for each dependency, for people with curl as well as for programs. */
export function reportText ({ dependencies, ...rest }: HealthReport): string {
  const head = JSON.stringify(rest).slice(0, -1)
  const lines = Object.entries(dependencies).map(([name, entry]) => `\n  ${JSON.stringify(name)}: ${JSON.stringify(entry)}`)
  return `${head},\n"dependencies":{${lines.join(',')}\n}}\n`
}

function iso (unixMs: number): string {
  return new Date(unixMs).toISOString()
}
