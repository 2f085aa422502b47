/** A folder for what a run writes and nobody needs afterwards; it goes with the process. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const SCRATCH = mkdtempSync(join(tmpdir(), 'im-gateway-bench-'))

process.once('exit', () => { rmSync(SCRATCH, { recursive: true, force: true }) })
