/** What Linux says of a process. */
import { readdirSync, readFileSync } from 'node:fs'

export const MIB = 1024 * 1024

export function openFiles (pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

export function residentBytes (pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}
