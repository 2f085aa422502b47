/** Fakes of the small ports: a logger and a meter that remember, a health board. */
import type { Dependency, Health, Logger, Meter } from '../../src/ports.ts'

export interface LogLine { readonly level: string, readonly facts: object, readonly text: string }

export class FakeLogger implements Logger {
  readonly lines: LogLine[] = []
  debug (facts: object, text: string): void { this.lines.push({ level: 'debug', facts, text }) }
  info (facts: object, text: string): void { this.lines.push({ level: 'info', facts, text }) }
  warn (facts: object, text: string): void { this.lines.push({ level: 'warn', facts, text }) }
  error (facts: object, text: string): void { this.lines.push({ level: 'error', facts, text }) }
}

export class FakeMeter implements Meter {
  readonly counters = new Map<string, number>()
  readonly observations = new Map<string, number[]>()
  readonly gauges = new Map<string, () => number>()

  count (name: string, value = 1, ...labels: string[]): void {
    const key = [name, ...labels].join(' ')
    this.counters.set(key, (this.counters.get(key) ?? 0) + value)
  }

  observe (name: string, value: number, ...labels: string[]): void {
    const key = [name, ...labels].join(' ')
    const list = this.observations.get(key)
    if (list === undefined) this.observations.set(key, [value])
    else list.push(value)
  }

  set (name: string, value: number, ...labels: string[]): void {
    this.gauges.set([name, ...labels].join(' '), () => value)
  }

  source (name: string, read: () => number, ...labels: string[]): void {
    this.gauges.set([name, ...labels].join(' '), read)
  }

  /** What was counted under `name label label…`. */
  counted (key: string): number { return this.counters.get(key) ?? 0 }
  gauge (key: string): number | undefined { return this.gauges.get(key)?.() }
}

export class FakeHealth implements Health {
  readonly downs = new Map<Dependency, string>()
  up (dependency: Dependency): void { this.downs.delete(dependency) }
  down (dependency: Dependency, detail: string): void { this.downs.set(dependency, detail) }
}
