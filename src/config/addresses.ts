/** Hosts, ports and the forms of Redis addresses. */
import { BlockList, isIP } from 'node:net'

export interface HostPort { readonly host: string, readonly port: number }

const HOST_NAME = /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$/

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

/** A host name or an IP address; IPv6 without brackets. */
export function isHost (text: string): boolean {
  return isIP(text) !== 0 || HOST_NAME.test(text)
}

/** Whether only this machine can reach it. A name other than `localhost` counts as reachable by others. */
export function isLoopback (host: string): boolean {
  const family = isIP(host)
  if (family === 0) return host === 'localhost'
  return loopback.check(host, family === 6 ? 'ipv6' : 'ipv4')
}

/** Whether it stands for every address of the machine. */
export function isWildcard (host: string): boolean {
  return host === '0.0.0.0' || /^[0:]+$/.test(host)
}

/** `host:port` or `[ipv6]:port`, port 1-65535; undefined where it is neither. */
export function parseHostPort (text: string): HostPort | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]/@\s]+)):(\d{1,5})$/.exec(text)
  if (match === null) return undefined
  const host = match[1] ?? match[2] as string
  const port = Number(match[3])
  if (port < 1 || port > 65535) return undefined
  if (match[1] !== undefined ? isIP(host) !== 6 : !isHost(host)) return undefined
  return { host, port }
}

export function formatHostPort (host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}

/** An IP address or a CIDR block. */
export function isNetwork (text: string): boolean {
  const [address, bits, ...rest] = text.split('/')
  const family = isIP(address as string)
  if (family === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}

/** Where Redis is: one server, a cluster by its seeds, or sentinels that name the server. */
export type RedisAddress =
  | { readonly mode: 'single', readonly nodes: readonly [HostPort] }
  | { readonly mode: 'cluster', readonly nodes: readonly HostPort[] }
  | { readonly mode: 'sentinel', readonly nodes: readonly HostPort[], readonly masterName: string }

/** The forms that REDIS_ADDR may have; undefined where it has none of them. */
export function parseRedisAddress (text: string): RedisAddress | undefined {
  const sentinel = /^sentinel:([A-Za-z0-9._-]+)@(.+)$/.exec(text)
  const list = sentinel?.[2] ?? text.replace(/^cluster:/, '')
  const nodes: HostPort[] = []
  for (const item of list.split(',')) {
    const node = parseHostPort(item.trim())
    if (node === undefined) return undefined
    nodes.push(node)
  }
  if (sentinel !== null) return { mode: 'sentinel', nodes, masterName: sentinel[1] as string }
  const [first, ...others] = nodes as [HostPort, ...HostPort[]]
  if (text.startsWith('cluster:') || others.length > 0) return { mode: 'cluster', nodes }
  return { mode: 'single', nodes: [first] }
}
