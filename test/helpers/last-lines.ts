/** Writes an error and a fatal line in one turn while no thread is free to write, flushes and ends: what then is on standard output? */
import { pbkdf2 } from 'node:crypto'
import { openLog } from '../../plugins/lib/log-stream.ts'

// Takes the only thread of UV_THREADPOOL_SIZE=1 for a tenth of a second: whatever is written beside the loop waits for it.
pbkdf2('', '', 100_000, 64, 'sha512', () => {})
const { logger, flush } = openLog({ level: 'info', nodeId: 'gw-test' })
logger.error('first')
logger.fatal('last')
await flush()
process.exit(1)
