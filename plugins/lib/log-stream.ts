/** The log on standard output: written in order beside the loop, bounded where its reader stalls, flushed before an exit. */
import { pino, type Logger } from 'pino'
import { loggingOptions, type LoggingOptions } from '../../src/logging.ts'

/** Lines that wait for a reader; past it new ones are dropped, for a log must not eat the memory of clients. */
const BACKLOG_BYTES = 4 * 1024 * 1024
const FLUSH_TIMEOUT_MS = 1000

export interface Log {
  readonly logger: Logger
  /** Resolves when all is written, or after a second. A process that exits earlier may lose or mix up its last lines. */
  flush (): Promise<void>
  /** Writes before it returns, for the last words of a process that exits in this turn; a reader that stalls misses them. */
  readonly lastWords: Logger
}

export function openLog (options: LoggingOptions): Log {
  // Written synchronously, a stalled reader would stop the loop; a least length makes `flush` wait for what is under way.
  const destination = pino.destination({ dest: 1, sync: false, minLength: 1, maxLength: BACKLOG_BYTES })
  const immediate = pino.destination({ dest: 1, sync: true, retryEAGAIN: () => false })
  immediate.on('error', () => {})
  return {
    // Given the destination itself, pino writes a fatal line at once, past those that are under way (pino/lib/levels.js).
    logger: pino(loggingOptions(options), { write: (line) => { destination.write(line) } }),
    lastWords: pino(loggingOptions(options), immediate),
    flush: () => new Promise((resolve) => {
      const timer = setTimeout(resolve, FLUSH_TIMEOUT_MS)
      destination.flush(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
}
