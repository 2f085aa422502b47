/** One situation: a gateway and a client of its own, seldom several of both, and what is judged in it. */
import type { ClientProcess } from './client-process.ts'
import type { GatewaySettings, TestGateway } from './test-gateway.ts'

/** Timers and clocks of two processes are not the same. */
export const TOLERANCE_MS = 50

export interface Stage {
  readonly gateway: TestGateway
  readonly client: ClientProcess
  /** Whether the client keeps a requirement; `detail`: what was seen where it does not. Said more than once, all have to be true. */
  judge (id: string, isKept: boolean, detail: string): void
}

export interface Situation {
  readonly name: string
  /** Requirements that are judged here. One that is not reached counts as not kept. */
  readonly ids: readonly string[]
  /** Processes of the client, each with a gateway of its own, at the same time; default: 1. */
  readonly clients?: number
  readonly settings?: Partial<GatewaySettings>
  /** Before the client is started. */
  readonly prepare?: (gateway: TestGateway) => void
  readonly play: (stage: Stage, ...others: readonly Stage[]) => Promise<void>
}
