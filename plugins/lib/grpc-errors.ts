/** gRPC statuses as errors of the table. */
import { status, type ServiceError, type StatusObject } from '@grpc/grpc-js'
import { GatewayError, type ErrorCode } from '../../src/errors.ts'

/**
 * A status other than OK. SERVICE_UNAVAILABLE and DEADLINE_EXCEEDED: nobody knows whether the call took effect (a reset
 * stream or a GOAWAY may come after the handler has run, grpc-node #3068). INTERNAL_ERROR: refused for a reason that
 * repeating does not change.
 */
export function grpcError (error: ServiceError | StatusObject): GatewayError {
  return new GatewayError(codeOf(error.code), { cause: error, detail: `gRPC ${status[error.code] ?? error.code}: ${error.details}` })
}

function codeOf (code: status): ErrorCode {
  switch (code) {
    case status.DEADLINE_EXCEEDED:
      return 'DEADLINE_EXCEEDED'
    case status.RESOURCE_EXHAUSTED:
      return 'OVERLOADED'
    case status.UNAVAILABLE:
    case status.CANCELLED:
    case status.UNKNOWN:
    case status.INTERNAL:
    case status.ABORTED:
    case status.DATA_LOSS:
      return 'SERVICE_UNAVAILABLE'
    default:
      return 'INTERNAL_ERROR'
  }
}
