/** Deadlines as grpc-js has them: by the wall clock. */
import type { Deadline } from '@grpc/grpc-js'

/** Milliseconds until it; Infinity where there is none. */
export function leftMs (deadline: Deadline): number {
  return Number(deadline) - Date.now()
}
