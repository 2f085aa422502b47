/** What Linux says of a process. */
import { readdirSync } from 'node:fs'

export function openFiles (pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}
