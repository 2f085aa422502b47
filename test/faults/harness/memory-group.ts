/** A control group that bounds the memory of a process (cgroups(7), version 1 or 2): the kernel kills whoever needs more. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'

const VERSIONS = [
  { root: '/sys/fs/cgroup/memory', limit: 'memory.limit_in_bytes', events: 'memory.oom_control' },
  { root: '/sys/fs/cgroup', limit: 'memory.max', events: 'memory.events' }
] as const
const MEMBERS = 'cgroup.procs'

export class MemoryGroup {
  readonly #path: string
  readonly #events: string

  private constructor (path: string, events: string) {
    this.#path = path
    this.#events = events
  }

  /** Ends with the test. Throws where groups cannot be made here. */
  static create (t: Test, name: string, limitBytes: number): MemoryGroup {
    const version = VERSIONS.find(({ root }) => existsSync(join(root, MEMBERS)))
    if (version === undefined) throw new Error('the row needs control groups: Linux with /sys/fs/cgroup')
    const path = join(version.root, name)
    try {
      mkdirSync(path)
    } catch (cause) {
      throw new Error(`the row needs leave to make ${path}: run it as root, where /sys/fs/cgroup can be written to`, { cause })
    }
    t.teardown(() => {
      // Of a row that failed: whoever is still in it leaves, for a group ends only when it is empty.
      for (const pid of readFileSync(join(path, MEMBERS), 'utf8').split('\n')) if (pid !== '') writeFileSync(join(version.root, MEMBERS), pid)
      rmdirSync(path)
    })
    if (!existsSync(join(path, version.limit))) throw new Error(`the row needs the memory controller: ${version.root} has none for its groups`)
    writeFileSync(join(path, version.limit), String(limitBytes))
    return new MemoryGroup(path, join(path, version.events))
  }

  /** NODE_OPTIONS of a process that is in it from its start: what a process took before it came would not count. */
  get nodeOptions (): string {
    const script = `import{writeFileSync}from'node:fs';writeFileSync(${JSON.stringify(join(this.#path, MEMBERS))},'0')`
    return `--import=data:text/javascript,${encodeURIComponent(script).replaceAll('\'', '%27')}`
  }

  has (pid: number | undefined): boolean {
    return readFileSync(join(this.#path, MEMBERS), 'utf8').split('\n').includes(String(pid))
  }

  /** Processes of it that were killed for memory. */
  get kills (): number {
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync(this.#events, 'utf8'))?.[1])
  }
}
