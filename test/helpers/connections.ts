/** Connections without a server: fake sockets, a fake registry, the real hub and outbox. */
import type { Admission, Registry, RegistryListener, Routes, SessionRef } from '../../src/ports.ts'
import { Connection } from '../../src/connections/connection.ts'
import type { Hub } from '../../src/connections/hub.ts'
import { FakeSocket } from './fake-socket.ts'

let serial = 0

/** A connection in the hub; open and released unless `held`. */
export function connect (hub: Hub, userId: string, deviceId = 'phone', options: { held?: boolean } = {}): { connection: Connection, socket: FakeSocket } {
  const socket = new FakeSocket()
  const connection = new Connection(socket.socket, hub.userFor(userId), deviceId, ++serial, 0, 0, Number.MAX_SAFE_INTEGER, 0)
  if (options.held !== true) {
    connection.held = false
    connection.state = 'open'
  }
  hub.add(connection)
  return { connection, socket }
}

type Outcome = Awaited<ReturnType<Registry['register']>>

/** Remembers what it was asked; answers what the test says. */
export class FakeRegistry implements Registry {
  readonly registered: SessionRef[] = []
  readonly unregistered: SessionRef[] = []
  /** Answer of the next registrations; a promise that the test settles, or a value. */
  outcome: Outcome | Promise<Outcome> = 'registered'
  readonly revoked = new Set<string>()
  listener: RegistryListener | undefined

  async admit (): Promise<Admission> { return { ok: true, revision: 1 } }
  async register (session: SessionRef): Promise<Outcome> {
    this.registered.push(session)
    return this.outcome
  }

  async unregister (session: SessionRef): Promise<void> { this.unregistered.push(session) }
  async locate (): Promise<Routes> { return { devices: [], complete: true } }
  async nodeAddress (): Promise<string | undefined> { return undefined }
  isRevoked (userId: string, deviceId?: string): boolean { return this.revoked.has(userId) || this.revoked.has(`${userId} ${deviceId}`) }
  listen (listener: RegistryListener): void { this.listener = listener }
  async close (): Promise<void> {}
}
