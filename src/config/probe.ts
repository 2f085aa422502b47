/** What the machine says: the only part of the configuration that looks outside the environment. */
import { readFileSync } from 'node:fs'
import { hostname, totalmem } from 'node:os'

export interface Probe {
  hostName (): string
  /** The container's limit where there is one, else the memory of the machine, in bytes. */
  memoryLimitBytes (): number
  /** Files that this process may open; undefined where the system has no such limit or does not tell. */
  openFilesLimit (): number | undefined
  /** Text of a file. Throws what node:fs throws. */
  readFile (path: string): string
}

export const machineProbe: Probe = {
  hostName: hostname,
  memoryLimitBytes: () => smallerLimit(process.constrainedMemory(), totalmem()),
  openFilesLimit: () => {
    try {
      return parseOpenFiles(readFileSync('/proc/self/limits', 'utf8'))
    } catch {
      return undefined
    }
  },
  readFile: (path) => readFileSync(path, 'utf8')
}

/** A container limit of 0 or above the machine's memory is none. */
export function smallerLimit (constrainedBytes: number, totalBytes: number): number {
  return constrainedBytes > 0 && constrainedBytes < totalBytes ? constrainedBytes : totalBytes
}

/** The soft limit in the text of `/proc/self/limits` (proc(5)); Node has raised it to the hard one at its start. */
export function parseOpenFiles (limits: string): number | undefined {
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1]
  return soft === undefined ? undefined : Number(soft)
}
