/** What the process says of its memory, and how it makes room in it. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { ProcessSample } from '../../src/overload.ts'

export type MemorySample = Pick<ProcessSample, 'inUseBytes' | 'residentBytes'>

/**
 * Memory in bytes. In use is what V8 counts, and as much for all else as was resident at the start. Where it cannot be
 * read now it is as it was: it comes from a file of /proc, and a process that is out of files must not end for it.
 * Throws where it cannot be read the first time.
 */
export function processMemory (read: () => NodeJS.MemoryUsage = process.memoryUsage): () => MemorySample {
  let usage = read()
  const programBytes = Math.max(0, usage.rss - usage.heapTotal - usage.external)
  return () => {
    try {
      usage = read()
    } catch {
      // As it was: there is nothing else to be known.
    }
    return { inUseBytes: programBytes + usage.heapUsed + usage.external, residentBytes: usage.rss }
  }
}

let gc: (() => void) | undefined

/** Collects all garbage and holds the process up meanwhile. V8 has this behind a flag, which new contexts see. */
export function collectGarbage (): void {
  if (gc === undefined) {
    setFlagsFromString('--expose-gc')
    gc = runInNewContext('gc') as () => void
    setFlagsFromString('--no-expose-gc')
  }
  gc()
}
