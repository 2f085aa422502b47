/** Refusals of calls as gRPC status names: what callers are told, and the label of `pushes_refused_total`. */
import type { ErrorCode } from '../errors.ts'

export type RefusalStatus = 'INVALID_ARGUMENT' | 'RESOURCE_EXHAUSTED' | 'DEADLINE_EXCEEDED' | 'UNAVAILABLE' | 'INTERNAL'

export function refusalStatus (code: ErrorCode): RefusalStatus {
  switch (code) {
    case 'INVALID_MESSAGE': return 'INVALID_ARGUMENT'
    case 'OVERLOADED': return 'RESOURCE_EXHAUSTED'
    case 'DEADLINE_EXCEEDED': return 'DEADLINE_EXCEEDED'
    case 'SERVICE_UNAVAILABLE':
    case 'SERVER_SHUTDOWN':
      return 'UNAVAILABLE'
    default: return 'INTERNAL'
  }
}
