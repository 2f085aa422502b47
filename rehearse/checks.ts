/** The promises that a rehearsal checks, one row each, and what was found of them. */

export const CHECKS = {
  delivered: 'every acknowledged message reaches the recipient, unless the recipient was away',
  once: 'a message is shown once, and does not come again where its acknowledgement stood',
  order: 'messages of one sender come in the order in which they were accepted',
  intact: 'a message comes with its own sender, recipient, content and sequence number',
  accepted: 'every message is accepted in time',
  latency: 'messages arrive in time (99th percentile)',
  welcome: 'welcome is the first frame, and comes in time',
  pings: 'pings come as often as the welcome says',
  frames: 'every frame is one of the protocol',
  errors: 'error frames and refusals are rows of the error table',
  closes: 'close codes and reasons are rows of the close table',
  stays: 'nobody who keeps to the protocol is closed, but by a drain or an overload',
  halfOpen: 'who shows no life is closed with 4000 in time',
  slowReader: 'who does not read is closed: 4001, or a lost connection where the close frame cannot get through',
  shutdown: 'a drain tells reconnect_after_ms before it closes with 1012',
  spread: 'the returns that a drain asks for are spread',
  delay: 'nobody who was told to wait comes back earlier',
  back: 'everybody is let in in time, and after a fault again',
  restart: 'a restart is seen, and its drain ends in time'
} as const

export type Check = keyof typeof CHECKS
export type CheckState = 'kept' | 'broken' | 'not tried'
export interface CheckResult { readonly check: Check, readonly promise: string, readonly state: CheckState, readonly tried: number, readonly broken: number, readonly examples: readonly string[] }

/** What a node at its limit may miss without having broken its word: such a step of the ramp was too high. */
export const SOFT: ReadonlySet<Check> = new Set(['accepted', 'latency', 'welcome', 'pings', 'back'])

const MAX_EXAMPLES = 5

interface Count { tried: number, broken: number, readonly examples: string[] }

export class Verdict {
  readonly #counts = new Map<Check, Count>()

  /** One more case; `fault` says what was seen where the promise was not kept. */
  judge (check: Check, isKept: boolean, fault: () => string): void {
    const count = this.#of(check)
    count.tried++
    if (isKept) return
    count.broken++
    if (count.examples.length < MAX_EXAMPLES) count.examples.push(fault())
  }

  broken (check: Check, fault: string): void {
    this.judge(check, false, () => fault)
  }

  get isKept (): boolean {
    return [...this.#counts.values()].every(({ broken }) => broken === 0)
  }

  /** Adds what another one found; `isPassed`: of these nothing that was broken. */
  add (other: Verdict, isPassed: (check: Check) => boolean = () => false): void {
    for (const [check, { tried, broken, examples }] of other.#counts) {
      const count = this.#of(check)
      const passed = isPassed(check)
      count.tried += passed ? tried - broken : tried
      if (passed) continue
      count.broken += broken
      count.examples.push(...examples.slice(0, MAX_EXAMPLES - count.examples.length))
    }
  }

  results (): readonly CheckResult[] {
    return Object.entries(CHECKS).map(([name, promise]) => {
      const check = name as Check
      const { tried, broken, examples } = this.#counts.get(check) ?? { tried: 0, broken: 0, examples: [] }
      return { check, promise, state: broken > 0 ? 'broken' : tried > 0 ? 'kept' : 'not tried', tried, broken, examples }
    })
  }

  #of (check: Check): Count {
    let count = this.#counts.get(check)
    if (count === undefined) this.#counts.set(check, count = { tried: 0, broken: 0, examples: [] })
    return count
  }
}
