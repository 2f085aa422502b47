/** A lease of the store, and who lives by it. */

/** Something that lives in the store only as long as a lease. */
export interface LeaseHolder { lease: Lease | undefined }

export class Lease {
  readonly holders = new Set<LeaseHolder>()
  /** The store's id; empty until it is granted. */
  id = ''
  lost = false
  /** Settles with the grant. */
  granted: Promise<void> = Promise.resolve()
  /** Monotonic milliseconds. */
  deadlineMs = Infinity
  renewAtMs = Infinity
  renewing = false
}
