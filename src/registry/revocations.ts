/** Which tokens are refused although they are valid: the keys below `/registry/revoked/`, as the watch tells them. */
import type { Meter } from '../ports.ts'

interface UserRevocations {
  /** Tokens issued before this are refused, whatever the device; Unix milliseconds, 0: none. */
  all: number
  readonly devices: Map<string, number>
}

export type RevocationListener = (userId: string, deviceId: string | undefined, beforeUnixMs: number) => void

export class Revocations {
  readonly #onRevoked: RevocationListener
  #users = new Map<string, UserRevocations>()
  #size = 0
  #isKnown = false
  #known: () => void = () => {}
  /** Users of the snapshot that is being read. */
  #snapshot: Map<string, UserRevocations> | undefined

  /** Resolves when a whole list was read for the first time. */
  readonly whenKnown = new Promise<void>((resolve) => { this.#known = resolve })

  constructor (meter: Meter, onRevoked: RevocationListener) {
    this.#onRevoked = onRevoked
    meter.source('registry_revocations', () => this.#size)
  }

  get size (): number { return this.#size }
  /** Whether a whole list was ever read: until then nobody can say who is refused. */
  get isKnown (): boolean { return this.#isKnown }

  /** `issuedAtUnixMs` undefined counts as older than every revocation. */
  isRevoked (userId: string, deviceId: string | undefined, issuedAtUnixMs: number | undefined): boolean {
    const user = this.#users.get(userId)
    if (user === undefined) return false
    const before = Math.max(user.all, deviceId === undefined ? 0 : user.devices.get(deviceId) ?? 0)
    return before > 0 && (issuedAtUnixMs === undefined || issuedAtUnixMs < before)
  }

  /** `deviceId` undefined: all devices. */
  onPut (userId: string, deviceId: string | undefined, before: number): void {
    const previous = set(this.#users, userId, deviceId, before)
    if (previous === 0) this.#size++
    if (previous !== before) this.#onRevoked(userId, deviceId, before)
  }

  onDelete (userId: string, deviceId: string | undefined): void {
    const user = this.#users.get(userId)
    if (user === undefined) return
    if (deviceId === undefined ? user.all > 0 : user.devices.has(deviceId)) this.#size--
    if (deviceId === undefined) user.all = 0
    else user.devices.delete(deviceId)
    if (user.all === 0 && user.devices.size === 0) this.#users.delete(userId)
  }

  onSnapshotStart (): void {
    this.#snapshot = new Map()
  }

  onSnapshotEntry (userId: string, deviceId: string | undefined, before: number): void {
    if (this.#snapshot !== undefined) set(this.#snapshot, userId, deviceId, before)
  }

  /** The snapshot holds all there are: those that are new are told, those that are not in it are over. */
  onSnapshotEnd (): void {
    const earlier = this.#users
    this.#users = this.#snapshot ?? new Map()
    this.#snapshot = undefined
    this.#isKnown = true
    this.#known()
    this.#size = 0
    for (const [userId, { all, devices }] of this.#users) {
      const known = earlier.get(userId)
      this.#size += devices.size + Number(all > 0)
      if (all > 0 && known?.all !== all) this.#onRevoked(userId, undefined, all)
      for (const [deviceId, before] of devices) if (known?.devices.get(deviceId) !== before) this.#onRevoked(userId, deviceId, before)
    }
  }
}

/** Gives what stood there; 0: nothing. */
function set (users: Map<string, UserRevocations>, userId: string, deviceId: string | undefined, before: number): number {
  let user = users.get(userId)
  if (user === undefined) users.set(userId, user = { all: 0, devices: new Map() })
  const previous = deviceId === undefined ? user.all : user.devices.get(deviceId) ?? 0
  if (deviceId === undefined) user.all = before
  else user.devices.set(deviceId, before)
  return previous
}
