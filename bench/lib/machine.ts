/** What the machine says: where processes run, what they use, what the kernel holds for them. */
import { readdirSync, readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'

/** The project: what runs is compiled and lies elsewhere. */
export const ROOT = process.cwd()

/** Server and load on separate cores, where there are two; this process runs on that of the load. */
export const SERVER_CORE = 0
export const LOAD_CORE = 1
/** Where more runs than one core has time for. */
export const BOTH_CORES = '0,1'
const CAN_PIN = process.platform === 'linux' && cpus().length > 1

export function pinned (core: number | typeof BOTH_CORES, command: string, args: readonly string[]): readonly [string, string[]] {
  return CAN_PIN ? ['taskset', ['-c', String(core), command, ...args]] : [command, [...args]]
}

/** CPU time of a process and its threads, microseconds. */
export function cpuUs (pid: number): number {
  let ns = 0
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0])
    } catch { /* the thread has ended */ }
  }
  return ns / 1000
}

/** Resident memory of a process, bytes. */
export function residentBytes (pid: number): number {
  const [, kilobytes] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

/** The kernel's own memory, bytes. */
export function slabBytes (): number {
  const [, kilobytes] = /^Slab:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

export interface Machine { readonly cpu: string, readonly cores: number, readonly memoryBytes: number, readonly kernel: string, readonly pinned: boolean }

export function describeMachine (): Machine {
  return { cpu: cpus()[0]?.model.trim() ?? 'unknown', cores: cpus().length, memoryBytes: totalmem(), kernel: release(), pinned: CAN_PIN }
}
