/** The invariants I1 to I7, asserted of a ledger. Each returns the sentences of what breaks it; none: it holds. */
import type { Entry } from './ledger.ts'

export interface Bounds {
  /** How long an acknowledgement may take: ACK_TIMEOUT. */
  readonly ackTimeoutMs: number
  /** By when the registry is the truth after a fault's end. */
  readonly repairedMs: number
  /** How long a live connection may be absent from the registry, etcd answering. */
  readonly absentMs: number
  /** Open files that a node may have over its first sample: channels and brokers that it met since. A leak has one for each client. */
  readonly fds: number
}

type Kind = Entry['kind']
type Of<K extends Kind> = Extract<Entry, { readonly kind: K }>
interface Connection { readonly key: string, readonly user: string, readonly openedMs: number, closedMs: number, replacedMs: number, readonly received: Map<string, number[]> }

/** Between what a side does and what the other notices, on a busy machine. */
const SLACK_MS = 500
const MAX_SENTENCES = 5

export const BOUNDS: Bounds = { ackTimeoutMs: 5_000, repairedMs: 30_000, absentMs: 2_000, fds: 50 }

const INVARIANTS = {
  I1: ackedIsAccepted,
  I2: acceptedOnce,
  I3: pushesAreTrue,
  I4: groupsAreWhole,
  I5: registryIsTrue,
  I6: nothingIsKept,
  I7: endsAreExpected
} as const
export type Invariant = keyof typeof INVARIANTS
export const ALL = Object.keys(INVARIANTS) as readonly Invariant[]

/** The first few sentences of each invariant that does not hold, by its name. */
export function check (entries: readonly Entry[], bounds: Bounds = BOUNDS, names: readonly Invariant[] = ALL): Partial<Record<Invariant, readonly string[]>> {
  const connections = connectionsOf(entries)
  const found: Partial<Record<Invariant, readonly string[]>> = {}
  for (const name of names) {
    const sentences = INVARIANTS[name](entries, connections, bounds)
    if (sentences.length > MAX_SENTENCES) sentences.splice(MAX_SENTENCES, Infinity, `and ${sentences.length - MAX_SENTENCES} more`)
    if (sentences.length > 0) found[name] = sentences
  }
  return found
}

function of<K extends Kind> (entries: readonly Entry[], kind: K): Array<Of<K>> {
  return entries.filter((entry): entry is Of<K> => entry.kind === kind)
}

function connectionsOf (entries: readonly Entry[]): Map<string, Connection> {
  const connections = new Map<string, Connection>()
  const newest = new Map<string, Connection>()
  for (const entry of entries) {
    if (entry.kind === 'opened') {
      const connection = { key: `${entry.user} ${entry.device}`, user: entry.user, openedMs: entry.atMs, closedMs: Infinity, replacedMs: Infinity, received: new Map() }
      const older = newest.get(connection.key)
      if (older !== undefined) older.replacedMs = entry.atMs
      newest.set(connection.key, connection)
      connections.set(entry.conn, connection)
    } else if (entry.kind === 'closed') {
      const connection = connections.get(entry.conn)
      // A row may know of a client's end before its socket does.
      if (connection !== undefined) connection.closedMs = Math.min(connection.closedMs, entry.atMs)
    } else if (entry.kind === 'received') {
      const received = connections.get(entry.conn)?.received
      const numbers = received?.get(entry.recipient)
      if (numbers === undefined) received?.set(entry.recipient, [entry.sequence])
      else numbers.push(entry.sequence)
    }
  }
  return connections
}

/** I1: what a client was told is accepted was accepted, under the number it was told. */
function ackedIsAccepted (entries: readonly Entry[]): string[] {
  const accepted = new Map(of(entries, 'accepted').map(({ user, msgId, sequence }) => [`${user} ${msgId}`, sequence]))
  return of(entries, 'acked').flatMap(({ user, msgId, sequence }) => {
    const was = accepted.get(`${user} ${msgId}`)
    if (was === undefined) return [`${msgId} of ${user} was acknowledged and never accepted`]
    return was === sequence ? [] : [`${msgId} of ${user} was accepted as ${was} and acknowledged as ${sequence}`]
  })
}

/** I2: an id has one number, and a number one id. */
function acceptedOnce (entries: readonly Entry[]): string[] {
  const places = new Map<string, string>()
  const ids = new Map<string, string>()
  return of(entries, 'accepted').flatMap(({ user, msgId, conversation, sequence }) => {
    const [id, place] = [`${user} ${msgId}`, `${conversation} ${sequence}`]
    const [earlierPlace, earlierId] = [places.get(id) ?? place, ids.get(place) ?? id]
    places.set(id, earlierPlace)
    ids.set(place, earlierId)
    if (earlierPlace !== place) return [`${id} was accepted twice: ${earlierPlace}, ${place}`]
    return earlierId === id ? [] : [`${place} was given twice: to ${earlierId}, to ${id}`]
  })
}

/** I3: a device is reported once, ACKED where a connection of it acknowledged in time, and not otherwise. */
function pushesAreTrue (entries: readonly Entry[], connections: ReadonlyMap<string, Connection>, { ackTimeoutMs }: Bounds): string[] {
  const acks = new Map<string, Array<{ readonly atMs: number, readonly connection: Connection }>>()
  for (const { conn, msgId, atMs } of of(entries, 'device_acked')) {
    const connection = connections.get(conn)
    if (connection === undefined) continue
    const key = `${connection.key} ${msgId}`
    const said = acks.get(key)
    if (said === undefined) acks.set(key, [{ atMs, connection }])
    else said.push({ atMs, connection })
  }
  const faults: string[] = []
  for (const { user, msgId, devices, startedMs, atMs } of of(entries, 'pushed')) {
    const seen = new Set<string>()
    for (const { device, outcome } of devices ?? []) {
      const name = `${msgId} to ${user} ${device}`
      if (seen.has(device)) faults.push(`${name} has two outcomes`)
      seen.add(device)
      const said = (acks.get(`${user} ${device} ${msgId}`) ?? []).filter((ack) => ack.atMs <= atMs)
      if (outcome === 'ACKED' && !said.some((ack) => ack.atMs <= startedMs + ackTimeoutMs + SLACK_MS && ack.atMs >= startedMs - SLACK_MS)) faults.push(`${name} is ACKED and no connection said so in time`)
      // A socket that ended may have taken its last words with it.
      const wasHeard = said.some((ack) => ack.atMs >= startedMs && ack.atMs <= startedMs + ackTimeoutMs - SLACK_MS && ack.connection.closedMs > atMs)
      if (outcome === 'ACK_TIMEOUT' && wasHeard) faults.push(`${name} is ACK_TIMEOUT and was acknowledged in time`)
      if (outcome === 'UNSPECIFIED') faults.push(`${name} has no outcome`)
    }
  }
  return faults
}

/** A connection's records that it should have got and did not. */
export interface Gap { readonly key: string, readonly conn: string, readonly group: string, readonly missing: readonly number[] }

/** I4: who is connected gets all that is produced for its groups; who left had no hole in what it got. */
function groupsAreWhole (entries: readonly Entry[], connections: ReadonlyMap<string, Connection>): string[] {
  return gaps(entries, connections).map(({ key, conn, group, missing }) => `${key} on ${conn} lacks ${missing.length} of ${group}, the first is ${missing[0]}`)
}

/** One for each connection and group that has some. */
export function gaps (entries: readonly Entry[], connections: ReadonlyMap<string, Connection> = connectionsOf(entries)): Gap[] {
  const groups = new Map(of(entries, 'group').map(({ group, members }) => [group, new Set(members)]))
  const produced = new Map<string, Array<Of<'produced'>>>()
  for (const entry of of(entries, 'produced')) {
    const records = produced.get(entry.group)
    if (records === undefined) produced.set(entry.group, [entry])
    else records.push(entry)
  }
  const found: Gap[] = []
  for (const [conn, { key, user, openedMs, closedMs, received }] of connections) {
    for (const [group, records] of produced) {
      if (groups.get(group)?.has(user) !== true) continue
      const got = new Set(received.get(group))
      let last = 0
      for (const sequence of got) last = Math.max(last, sequence)
      // Of a connection that has ended, what it would have got next is its successor's to ask the history for.
      const missing = records.filter(({ atMs, sequence }) => atMs > openedMs && !got.has(sequence) && (closedMs === Infinity || sequence < last)).map(({ sequence }) => sequence)
      if (missing.length > 0) found.push({ key, conn, group, missing })
    }
  }
  return found
}

/** I5: nobody who is connected is missing for long but during a fault; in time after it, and at the end, the registry is the truth. */
function registryIsTrue (entries: readonly Entry[], connections: ReadonlyMap<string, Connection>, { repairedMs, absentMs }: Bounds): string[] {
  const snapshots = of(entries, 'registry')
  const last = snapshots.at(-1)
  if (last === undefined) return []
  const faults: string[] = []
  const strikes = of(entries, 'struck').map(({ atMs }) => [atMs, (of(entries, 'healed').find((healed) => healed.atMs > atMs)?.atMs ?? Infinity) + repairedMs] as const)
  const absentSince = new Map<string, number>()
  for (const { atMs, routes } of snapshots) {
    const isExcused = strikes.some(([from, to]) => atMs >= from && atMs <= to)
    for (const [conn, { key, openedMs, closedMs, replacedMs }] of connections) {
      if (isExcused || routes[key] === conn || openedMs >= atMs || Math.min(closedMs, replacedMs) <= atMs) absentSince.delete(conn)
      else if (!absentSince.has(conn)) absentSince.set(conn, atMs)
      else if (atMs - (absentSince.get(conn) as number) > absentMs) {
        faults.push(`${key} lives on ${conn} and is missing since ${Math.round(atMs - (absentSince.get(conn) as number))} ms`)
        absentSince.delete(conn)
      }
    }
  }
  for (const [key, conn] of Object.entries(last.routes)) {
    const { closedMs = -Infinity } = connections.get(conn) ?? {}
    if (closedMs < last.atMs - absentMs) faults.push(`${key} is registered on ${conn}, which is gone`)
  }
  for (const [conn, { key, openedMs, closedMs, replacedMs }] of connections) {
    if (openedMs < last.atMs - absentMs && Math.min(closedMs, replacedMs) > last.atMs && last.routes[key] !== conn) faults.push(`${key} lives on ${conn} and is not registered at the end`)
  }
  return faults
}

/** I6: at the end a process has what it had at the beginning. */
function nothingIsKept (entries: readonly Entry[], _: ReadonlyMap<string, Connection>, { fds }: Bounds): string[] {
  const first = new Map<number, Of<'sample'>>()
  const last = new Map<number, Of<'sample'>>()
  for (const sample of of(entries, 'sample')) {
    if (!first.has(sample.pid)) first.set(sample.pid, sample)
    last.set(sample.pid, sample)
  }
  return [...last].flatMap(([pid, sample]) => {
    const { node, fds: open, waiting } = sample
    const before = first.get(pid)?.fds ?? 0
    // Of a process that ended during the run nothing is known but its beginning.
    return first.get(pid) === sample
      ? []
      : [
          ...open > before + fds ? [`${node} has ${open} open files, ${before} before`] : [],
          ...waiting > 0 ? [`${waiting} things wait on ${node} though nothing is under way`] : []
        ]
  })
}

/** I7: processes end as they were told, and none meets an error that nobody caught. */
function endsAreExpected (entries: readonly Entry[]): string[] {
  return [
    ...of(entries, 'exited').filter(({ how, expected }) => how !== expected).map(({ node, how, expected }) => `${node} ended with ${how} instead of ${expected}`),
    ...of(entries, 'failure').map(({ node, line }) => `${node} said: ${line}`)
  ]
}
