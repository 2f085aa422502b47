/** Refusals of calls as gRPC status names: what callers are told, and the label of `pushes_refused_total`. */
import { GatewayError, type ErrorCode } from '../errors.ts'

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

const CODES: Readonly<Record<string, ErrorCode>> = {
  INVALID_ARGUMENT: 'INVALID_MESSAGE',
  RESOURCE_EXHAUSTED: 'OVERLOADED',
  DEADLINE_EXCEEDED: 'DEADLINE_EXCEEDED',
  UNAVAILABLE: 'SERVICE_UNAVAILABLE'
}

/** A refusal as the text of an item's report in a PushStream. */
export function refusalText (error: GatewayError): string {
  return `${refusalStatus(error.code)}: ${error.message}`
}

/** The refusal that such a text stands for. */
export function refusalFrom (text: string): GatewayError {
  const [status = '', ...detail] = text.split(': ')
  return new GatewayError(CODES[status] ?? 'INTERNAL_ERROR', { detail: detail.join(': ') })
}
