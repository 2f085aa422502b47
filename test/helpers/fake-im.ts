/** An IM Service in memory, for tests of what stands above the port: it answers when and as the test says. */
import { GatewayError, type ErrorCode } from '../../src/errors.ts'
import type { ImService, RouteAccepted, RouteRequest } from '../../src/ports.ts'

export interface OpenCall {
  readonly request: RouteRequest
  readonly deadlineMs: number
  accept (sequenceNumber?: number): void
  fail (error: ErrorCode | Error): void
}

/** Keeps every call open until the test settles it. */
export class HeldIm implements ImService {
  /** Calls that are open, oldest first. */
  readonly open: OpenCall[] = []
  /** All calls so far. */
  readonly requests: RouteRequest[] = []
  #sequence = 0

  route (request: RouteRequest, deadlineMs: number): Promise<RouteAccepted> {
    this.requests.push(request)
    return new Promise((resolve, reject) => {
      const call: OpenCall = {
        request,
        deadlineMs,
        accept: (sequenceNumber = ++this.#sequence) => {
          this.#remove(call)
          resolve({ sequenceNumber, timestampMs: 1_700_000_000_000 })
        },
        fail: (error) => {
          this.#remove(call)
          reject(typeof error === 'string' ? new GatewayError(error) : error)
        }
      }
      this.open.push(call)
    })
  }

  #remove (call: OpenCall): void {
    const at = this.open.indexOf(call)
    if (at !== -1) this.open.splice(at, 1)
  }
}
