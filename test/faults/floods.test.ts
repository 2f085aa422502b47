/** Peers that break the protocol, or flood: they are answered and closed, and the node keeps nothing of them. */
import { setTimeout as pause } from 'node:timers/promises'
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import { residentBytes } from '../../bench/lib/machine.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { OPCODE, RawClient } from '../helpers/raw-client.ts'
import type { FaultWorld } from './harness/fault-world.ts'
import { GroupTraffic } from './harness/group-traffic.ts'
import { Probe } from './harness/probe.ts'
import { MIB, openFiles } from './harness/process-figures.ts'
import { isLong, PATIENCE_MS, row } from './harness/row.ts'

const FREED_MS = 6_000
/** For /healthz, of a node with all those peers. */
const PROBE_MS = 2_000
const SLOW_PEERS = 1_000
/** Files that a node may open meanwhile for reasons of its own: channels to services, a scrape. */
const FDS_SLACK = 4

/** The one node, with a member of a group who hears all the while. */
async function withNeighbour (t: Test, world: FaultWorld): Promise<{ readonly port: number, readonly pid: number, readonly traffic: GroupTraffic }> {
  const [node] = world.nodes
  if (node?.pid === undefined) throw new Error('the row needs a node that is a process')
  const neighbours = [`neighbour-${world.run}`]
  const traffic = new GroupTraffic(world, 1, neighbours)
  await world.connect(t, neighbours, PATIENCE_MS)
  traffic.start(50)
  return { port: node.port, pid: node.pid, traffic }
}

const KEY = 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
const UPGRADE = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
const request = (line: string, headers: string): string => `${line}\r\nHost: x\r\n${headers}\r\n`
/** What a peer writes and then waits, as a stranger without a token would. */
const HOSTILE: ReadonlyArray<readonly [name: string, bytes: string]> = [
  ['nothing', ''],
  ['half a request line', 'GET /ws HT'],
  ['headers without an end', `GET /ws HTTP/1.1\r\nHost: x\r\n${UPGRADE}`],
  ['no token', request('GET /ws HTTP/1.1', `${UPGRADE}Sec-WebSocket-Version: 13\r\n${KEY}`)],
  ['a token that is none', request('GET /ws HTTP/1.1', `${UPGRADE}Sec-WebSocket-Version: 13\r\n${KEY}Authorization: Bearer x\r\n`)],
  ['a token of 64 KiB', request('GET /ws HTTP/1.1', `${UPGRADE}Sec-WebSocket-Version: 13\r\n${KEY}Authorization: Bearer ${'x'.repeat(65_536)}\r\n`)],
  ['a token in the query', request('GET /ws?token=x HTTP/1.1', `${UPGRADE}Sec-WebSocket-Version: 13\r\n${KEY}`)],
  ['two tokens', request('GET /ws HTTP/1.1', `${UPGRADE}Sec-WebSocket-Version: 13\r\n${KEY}Authorization: Bearer x\r\nAuthorization: Bearer y\r\n`)],
  ['another path', request('GET /other HTTP/1.1', `${UPGRADE}Sec-WebSocket-Version: 13\r\n${KEY}`)],
  ['a path that cannot be decoded', request('GET /ws%zz HTTP/1.1', `${UPGRADE}Sec-WebSocket-Version: 13\r\n${KEY}`)],
  ['another method', request('POST /ws HTTP/1.1', `${UPGRADE}Sec-WebSocket-Version: 13\r\n${KEY}`)],
  ['another protocol', request('GET /ws HTTP/1.1', 'Connection: Upgrade\r\nUpgrade: h2c\r\n')],
  ['an old version', request('GET /ws HTTP/1.1', `${UPGRADE}Sec-WebSocket-Version: 8\r\n${KEY}`)],
  ['no key', request('GET /ws HTTP/1.1', `${UPGRADE}Sec-WebSocket-Version: 13\r\n`)],
  ['a key that is none', request('GET /ws HTTP/1.1', `${UPGRADE}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n`)],
  ['a foreign origin', request('GET /ws HTTP/1.1', `${UPGRADE}Sec-WebSocket-Version: 13\r\n${KEY}Origin: https://evil.example\r\n`)],
  ['a body', request('GET /ws HTTP/1.1', `${UPGRADE}Sec-WebSocket-Version: 13\r\n${KEY}Content-Length: 1000000\r\n`)],
  ['headers past any limit', request('GET /ws HTTP/1.1', `${UPGRADE}X: ${'x'.repeat(100_000)}\r\n`)],
  ['TLS on the plain port', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03']
]

interface Peer { readonly name: string, readonly socket: Socket, endedMs: number }

function peer (port: number, name: string, bytes: string): Peer {
  const startedMs = performance.now()
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  const opened: Peer = { name, socket, endedMs: Infinity }
  socket.on('error', () => { /* its close follows */ })
  socket.resume()
  // It never ends its own side: what the node ends it has to destroy as well.
  for (const event of ['end', 'close']) socket.once(event, () => { opened.endedMs = Math.min(opened.endedMs, performance.now() - startedMs) })
  socket.write(Buffer.from(bytes, 'latin1'))
  return opened
}

row('F2', '[GW-CON-10] hostile and slow upgrades are answered or destroyed, and every file is freed', { nodes: ['node-a'] }, async (t, world) => {
  const { port, pid, traffic } = await withNeighbour(t, world)
  const peers: Peer[] = []
  t.teardown(() => { for (const { socket } of peers) socket.destroy() })
  const before = openFiles(pid)
  peers.push(...HOSTILE.map(([name, bytes]) => peer(port, name, bytes)))
  await eventually(() => peers.every(({ endedMs }) => endedMs < Infinity), FREED_MS + 2_000).catch(() => {})
  t.strictSame(peers.filter(({ endedMs }) => endedMs > FREED_MS).map(({ name }) => name), [], 'each hostile peer is ended in time')
  const slowFrom = peers.length
  for (let i = 0; i < SLOW_PEERS; i++) peers.push(peer(port, 'slow', 'GET /ws HTTP/1.1\r\n'))
  const drip = setInterval(() => { for (const { socket, endedMs } of peers.slice(slowFrom)) if (endedMs === Infinity && socket.writable) socket.write('X') }, 1_000)
  t.teardown(() => { clearInterval(drip) })
  await eventually(() => openFiles(pid) > before + SLOW_PEERS * 0.95, PATIENCE_MS)
  const probe = new Probe(port)
  const started = performance.now()
  await eventually(() => openFiles(pid) <= before + FDS_SLACK, PATIENCE_MS).catch(() => {})
  const freedMs = Math.round(performance.now() - started)
  const probeMs = await probe.stop()
  t.ok(probeMs <= PROBE_MS, `a probe is answered after ${probeMs} ms at most`)
  // What the machine kept the node from is not the node's.
  t.ok(freedMs <= FREED_MS + probeMs, `all files are freed after ${freedMs} ms; open were ${before}, now ${openFiles(pid)}, and ${peers.filter(({ endedMs }) => endedMs === Infinity).length} peers have not heard of it`)
  await traffic.stop()
  await pause(1_000)
  return { cases: HOSTILE.length, slow: SLOW_PEERS, slowestMs: Math.round(Math.max(...peers.slice(0, slowFrom).map(({ endedMs }) => endedMs))), freedMs, probeMs, filesBefore: before, filesAfter: openFiles(pid) }
})

/** A masked frame's head for these first two bytes; the mask is zero. */
const frame = (first: number, payload = ''): Buffer => Buffer.concat([Buffer.from([first, 0x80 | payload.length, 0, 0, 0, 0]), Buffer.from(payload)])
const FIN = 0x80
const FRAMES_A_WRITE = 1_000
const FLOODS: ReadonlyArray<readonly [name: string, first: Buffer, next: Buffer]> = [
  ['ping', frame(FIN | OPCODE.ping, 'x'), frame(FIN | OPCODE.ping, 'x')],
  ['pong', frame(FIN | OPCODE.pong, 'x'), frame(FIN | OPCODE.pong, 'x')],
  // A message that never ends, in pieces of nothing.
  ['fragment', frame(OPCODE.text), frame(0)],
  ['ack', frame(FIN | OPCODE.text, '{"type":"ack","msg_id":"unknown"}'), frame(FIN | OPCODE.text, '{"type":"ack","msg_id":"unknown"}')]
]
const FLOOD_MS = isLong ? 60_000 : 20_000
const RSS_MIB = 20

row('F3', '[GW-SND-1] floods of pings, pongs, fragments and acks end with a close and cost no memory', { nodes: ['node-a'] }, async (t, world) => {
  const { port, pid, traffic } = await withNeighbour(t, world)
  const flood = async (name: string, first: Buffer, next: Buffer): Promise<number> => {
    const user = `flood-${name}-${world.run}`
    const client = await RawClient.connect({ port, token: world.world.auth.mint(user, 'phone').accessToken })
    const bytes = Buffer.concat(Array.from({ length: FRAMES_A_WRITE }, () => next))
    const started = performance.now()
    client.socket.write(first)
    while (!client.socket.closed && performance.now() - started < FLOOD_MS) {
      if (!client.socket.write(bytes)) await Promise.race([client.closed, new Promise((resolve) => { client.socket.once('drain', resolve) })])
      await pause(1)
    }
    const tookMs = Math.round(performance.now() - started)
    t.ok(client.socket.closed, `${name}: closed after ${tookMs} ms`)
    client.socket.destroy()
    return tookMs
  }
  // The first round warms code and buffers up; what it costs is not the flood's.
  for (const [name, first, next] of FLOODS) await flood(name, first, next)
  const before = residentBytes(pid)
  let most = before
  const watch = setInterval(() => { most = Math.max(most, residentBytes(pid)) }, 100)
  t.teardown(() => { clearInterval(watch) })
  const figures: Record<string, number> = {}
  for (const [name, first, next] of FLOODS) figures[`${name}Ms`] = await flood(name, first, next)
  clearInterval(watch)
  const grownMiB = Math.round((most - before) / MIB)
  t.ok(grownMiB <= RSS_MIB, `${grownMiB} MiB more`)
  await traffic.stop()
  await pause(1_000)
  return { ...figures, grownMiB }
})
