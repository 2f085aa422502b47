/** What Linux says of a process. */
import { readdirSync } from 'node:fs'

export const MIB = 1024 * 1024

export function openFiles (pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}
