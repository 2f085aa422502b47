/** A session as the registry sees it, and the table of this node's: those with a socket, and those whose key has yet to be removed. */
import type { SessionRef } from '../ports.ts'
import type { Lease, LeaseHolder } from './lease-pool.ts'
import { deviceKey, encodeRoute } from './records.ts'
import { JOINING, type SessionState } from './session-state.ts'

export class Session implements LeaseHolder {
  readonly userId: string
  readonly deviceId: string
  readonly connectionId: string
  readonly openedAtUnixMs: number
  readonly key: string
  state: SessionState = JOINING
  lease: Lease | undefined
  /** An earlier session of the same device. */
  older: Session | undefined
  /** The snapshot that it was last seen in. */
  snapshotRevision = 0
  /** Told when the session has ended. */
  onEnded: (() => void)[] | undefined

  constructor (ref: SessionRef) {
    this.userId = ref.userId
    this.deviceId = ref.deviceId
    this.connectionId = ref.connectionId
    this.openedAtUnixMs = ref.openedAtUnixMs
    this.key = deviceKey(ref.userId, ref.deviceId)
  }

  /** What the key holds while it is this session's. */
  value (nodeId: string): string {
    return encodeRoute({ node: nodeId, conn: this.connectionId, at: this.openedAtUnixMs })
  }

  tellEnd (): void {
    for (const tell of this.onEnded ?? []) tell()
    this.onEnded = undefined
  }
}

/** Sessions by key, the newest of each key first. */
export class SessionTable {
  readonly #newest = new Map<string, Session>()

  find (key: string, connectionId: string): Session | undefined {
    for (let session = this.#newest.get(key); session !== undefined; session = session.older) {
      if (session.connectionId === connectionId) return session
    }
    return undefined
  }

  /** The sessions of a key, the newest first. The one that was yielded last may be removed. */
  * of (key: string): IterableIterator<Session> {
    let session = this.#newest.get(key)
    while (session !== undefined) {
      const { older }: { older: Session | undefined } = session
      yield session
      session = older
    }
  }

  add (session: Session): void {
    session.older = this.#newest.get(session.key)
    this.#newest.set(session.key, session)
  }

  /** Adds a session that is older than all that its key has. */
  addOldest (session: Session): void {
    let last = this.#newest.get(session.key)
    while (last?.older !== undefined) last = last.older
    if (last === undefined) this.#newest.set(session.key, session)
    else last.older = session
  }

  /** Whether this connection has the session's key and came after it. */
  isYounger (session: Session, connectionId: string): boolean {
    for (let other = this.#newest.get(session.key); other !== undefined && other !== session; other = other.older) {
      if (other.connectionId === connectionId) return true
    }
    return false
  }

  remove (session: Session): void {
    const newest = this.#newest.get(session.key)
    if (newest === session) {
      if (session.older === undefined) this.#newest.delete(session.key)
      else this.#newest.set(session.key, session.older)
      return
    }
    for (let younger = newest; younger !== undefined; younger = younger.older) {
      if (younger.older !== session) continue
      younger.older = session.older
      return
    }
  }

  /** All sessions. The one that was yielded last may be removed. */
  * all (): IterableIterator<Session> {
    for (const key of this.#newest.keys()) yield * this.of(key)
  }
}
