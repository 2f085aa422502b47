/** What the process says of its memory, and how it makes room in it. */
import { readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { ProcessSample } from '../../src/overload.ts'

export type MemorySample = Pick<ProcessSample, 'inUseBytes' | 'residentBytes'>

/** `status`: that of proc_pid_status(5); empty where there is none. */
export type MemoryReading = Omit<NodeJS.MemoryUsage, 'arrayBuffers'> & { readonly status: string }

/**
 * Memory in bytes. In use: what V8 counts, and for everything else what was resident at the start. Resident: what the
 * kernel cannot take back, so without the files of the program, if the kernel tells them apart. Read from files in /proc:
 * where that fails, as it does in a process that is out of files, the last figures stand. Throws where the first read fails.
 */
export function processMemory (read: () => MemoryReading = readMemory): () => MemorySample {
  let usage = read()
  const programBytes = Math.max(0, usage.rss - usage.heapTotal - usage.external)
  return () => {
    try {
      usage = read()
    } catch {
      // As it was: there is nothing else to be known.
    }
    return { inUseBytes: programBytes + usage.heapUsed + usage.external, residentBytes: anonymousBytes(usage.status) ?? usage.rss }
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

function readMemory (): MemoryReading {
  return { ...process.memoryUsage(), status: process.platform === 'linux' ? readFileSync('/proc/self/status', 'latin1') : '' }
}

function anonymousBytes (status: string): number | undefined {
  const [, kilobytes] = /^RssAnon:\s+(\d+) kB$/m.exec(status) ?? []
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
}
