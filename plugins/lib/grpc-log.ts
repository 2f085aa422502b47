/** grpc-js has one log for the whole process, and writes it to stderr as plain text unless it is given another one [GW-OBS-3]. */
import { setLogger } from '@grpc/grpc-js'
import type { Logger } from '../../src/ports.ts'

export function logGrpcTo (logger: Logger): void {
  setLogger({
    error: (...parts: unknown[]) => { logger.warn({ detail: textOf(parts) }, 'fault reported by grpc-js') },
    info: (...parts: unknown[]) => { logger.info({ detail: textOf(parts) }, 'said by grpc-js') },
    debug: (...parts: unknown[]) => { logger.debug({ detail: textOf(parts) }, 'said by grpc-js') }
  })
}

function textOf (parts: readonly unknown[]): string {
  return parts.map(String).join(' ')
}
