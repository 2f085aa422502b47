/**
 * Who is here: connection by (user, device), devices by user, and one dense list of all connections for sweeps.
 * Every look-up is by index or by key, never a scan.
 */
import type { GroupEntry } from '../groups/group-entry.ts'
import type { Connection } from './connection.ts'

/** One user with at least one connection on this node. */
export class UserEntry {
  readonly userId: string
  /**
   * The user's connections; a handful at most. A replaced connection stays until it has closed. To remove one is to make
   * another array: whoever iterates over this one may close connections meanwhile.
   */
  connections: Connection[] = []
  /** Message bucket of the user over all devices (token-bucket). */
  messageTokens = 0
  messageTokensAtMs = 0
  overLimitSinceMs = 0
  /** Groups in whose local member list this user stands (groups). */
  groups: GroupEntry[] | null = null
  /** This user's place in each of those lists (groups). */
  groupSlots: number[] | null = null
  /** Number of this arrival (groups). */
  arrival = -1

  constructor (userId: string) {
    this.userId = userId
  }
}

/** Told when a user's first connection comes and when the last one has gone. */
export interface PresenceListener {
  onUserOnline (user: UserEntry): void
  onUserOffline (user: UserEntry): void
}

/** Connections that there are due times for at first; the array is doubled when it is full. */
const ROOM = 1_024

export class Hub {
  readonly #users = new Map<string, UserEntry>()
  readonly #all: Connection[] = []
  #due: Float64Array = new Float64Array(ROOM)
  #listener: PresenceListener | undefined

  get connectionCount (): number { return this.#all.length }
  get userCount (): number { return this.#users.size }
  /** All connections, in no order; the list is live. */
  get all (): readonly Connection[] { return this.#all }
  /** By the index in `all`: when the heartbeat looks at the connection next, on its own clock; Infinity: not until `Heartbeat.look` asks for it. Replaced by a larger array as the hub grows. */
  get due (): Float64Array { return this.#due }

  listen (listener: PresenceListener): void {
    this.#listener = listener
  }

  /** The entry for a user who is about to get a connection; it is kept only from `add` on. */
  userFor (userId: string): UserEntry {
    return this.#users.get(userId) ?? new UserEntry(userId)
  }

  user (userId: string): UserEntry | undefined {
    return this.#users.get(userId)
  }

  users (): IterableIterator<UserEntry> {
    return this.#users.values()
  }

  /** The newest connection of a device. */
  device (userId: string, deviceId: string): Connection | undefined {
    const user = this.#users.get(userId)
    if (user === undefined) return undefined
    let newest: Connection | undefined
    for (const connection of user.connections) {
      if (connection.deviceId === deviceId && (newest === undefined || connection.serial > newest.serial)) newest = connection
    }
    return newest
  }

  add (connection: Connection): void {
    if (connection.hubIndex !== -1) return
    const { user } = connection
    const at = this.#all.push(connection) - 1
    connection.hubIndex = at
    if (at === this.#due.length) this.#due = grown(this.#due)
    this.#due[at] = Infinity
    const first = user.connections.length === 0
    // A list that is pushed to is given room for seventeen; hardly any user needs it.
    if (first) user.connections = [connection]
    else user.connections.push(connection)
    if (!first) return
    this.#users.set(user.userId, user)
    this.#listener?.onUserOnline(user)
  }

  remove (connection: Connection): void {
    const at = connection.hubIndex
    if (at === -1) return
    connection.hubIndex = -1
    const last = this.#all.pop() as Connection
    if (last !== connection) {
      this.#all[at] = last
      last.hubIndex = at
      this.#due[at] = this.#due[this.#all.length] as number
    }
    const { user } = connection
    user.connections = user.connections.filter((each) => each !== connection)
    if (user.connections.length > 0) return
    this.#users.delete(user.userId)
    this.#listener?.onUserOffline(user)
  }
}

function grown (column: Float64Array): Float64Array {
  const larger = new Float64Array(2 * column.length)
  larger.set(column)
  return larger
}
