/** A real Envoy with the configuration of deploy/envoy: its two listeners and clusters once for each front of a test; it ends with the test. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { parse, stringify } from 'yaml'
import { freePort } from './free-port.ts'
import { startProgram, tools } from './program.ts'

export interface Ports { readonly ws: number, readonly grpc: number }
/** A pair of listeners, and the nodes behind it. */
export interface Front extends Ports { readonly name: string, readonly nodes: readonly Ports[], readonly streamIdleTimeout?: string }

interface SocketAddress { readonly socket_address: { address: string, port_value: number } }
interface Manager { stream_idle_timeout: string, stat_prefix: string, readonly route_config: { readonly virtual_hosts: ReadonlyArray<{ readonly routes: ReadonlyArray<{ readonly match: object, readonly route: { cluster: string } }> }> } }
interface Listener { name: string, readonly address: SocketAddress, readonly filter_chains: readonly [{ readonly filters: readonly [{ readonly typed_config: Manager }] }] }
interface Cluster {
  name: string
  upstream_bind_config?: { readonly source_address: { readonly address: string, readonly port_value: number } }
  readonly load_assignment: { cluster_name: string, endpoints: ReadonlyArray<{ readonly lb_endpoints: ReadonlyArray<{ readonly endpoint: { readonly address: SocketAddress } }> }> }
}
export interface EnvoyConfig { readonly admin: { address: SocketAddress }, readonly static_resources: { listeners: Listener[], clusters: Cluster[] } }

const FILE = join(import.meta.dirname, '../../deploy/envoy/envoy.yaml')
/** Of its connections to the nodes, by which they know it. */
export const ENVOY_ADDRESS = '127.0.0.3'

/** As it stands in deploy/envoy. */
export function envoyConfig (): EnvoyConfig {
  return parse(readFileSync(FILE, 'utf8')) as EnvoyConfig
}

export function managerOf ({ filter_chains: [{ filters: [{ typed_config: manager }] }] }: Listener): Manager {
  return manager
}

const at = (port: number): SocketAddress => ({ socket_address: { address: '127.0.0.1', port_value: port } })

function frontOf ({ name, ws, grpc, nodes, streamIdleTimeout }: Front): { readonly listeners: Listener[], readonly clusters: Cluster[] } {
  const { listeners, clusters } = envoyConfig().static_resources
  for (const [i, port] of [ws, grpc].entries()) {
    const [listener, cluster] = [listeners[i], clusters[i]] as [Listener, Cluster]
    Object.assign(listener.address, at(port))
    listener.name += `-${name}`
    cluster.name += `-${name}`
    cluster.upstream_bind_config = { source_address: { address: ENVOY_ADDRESS, port_value: 0 } }
    cluster.load_assignment.cluster_name = cluster.name
    cluster.load_assignment.endpoints = [{ lb_endpoints: nodes.map((node) => ({ endpoint: { address: at(i === 0 ? node.ws : node.grpc) } })) }]
    for (const { routes } of managerOf(listener).route_config.virtual_hosts) for (const { route } of routes) route.cluster = cluster.name
  }
  if (streamIdleTimeout !== undefined) managerOf(listeners[0] as Listener).stream_idle_timeout = streamIdleTimeout
  return { listeners, clusters }
}

/** Resolves once it listens, whether there are nodes or not. */
export async function startEnvoy (t: Test, fronts: readonly Front[]): Promise<Envoy> {
  const config = envoyConfig()
  const all = fronts.map(frontOf)
  const admin = await freePort()
  config.admin.address = at(admin)
  config.static_resources.listeners = all.flatMap(({ listeners }) => listeners)
  config.static_resources.clusters = all.flatMap(({ clusters }) => clusters)
  const file = join(t.testdir({}), 'envoy.yaml')
  writeFileSync(file, stringify(config))
  const envoy = new Envoy(`http://127.0.0.1:${admin}`)
  await startProgram(t, join(tools('envoy'), 'envoy'), ['--config-path', file, '--concurrency', '1', '--log-level', 'warning', '--disable-hot-restart'], () => envoy.isReady())
  return envoy
}

export class Envoy {
  readonly #admin: string

  constructor (admin: string) {
    this.#admin = admin
  }

  async isReady (): Promise<boolean> {
    return await fetch(`${this.#admin}/ready`).then(({ ok }) => ok, () => false)
  }

  /** Sum of its counters and gauges whose name matches. */
  async sum (pattern: RegExp): Promise<number> {
    const { stats } = await (await fetch(`${this.#admin}/stats?format=json`)).json() as { readonly stats: ReadonlyArray<{ readonly name?: string, readonly value?: number }> }
    return stats.reduce((sum, { name = '', value = 0 }) => pattern.test(name) ? sum + value : sum, 0)
  }
}
