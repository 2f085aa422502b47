/** What the application gives the client, and what it hears of it. */
import type { ClientClock } from './clock.ts'
import type { ConnectionError } from './errors.ts'
import type { MembershipChange, Message, ReadReceipt } from './frames.ts'
import type { Gap, History } from './inbox.ts'
import type { SocketConstructor } from './socket.ts'

/** `open`: welcomed. `waiting`: until the next attempt. `paused`: in the background. `ended`: for good. */
export type ClientState = 'idle' | 'connecting' | 'open' | 'waiting' | 'paused' | 'ended'

/** Why the client does not come back: the close code, 1000 where it was asked to close, 1006 with an `error` where it could not even try. */
export interface End { readonly code: number, readonly error?: ConnectionError }

export interface ImClientOptions {
  /** `wss://host/ws`; a function is asked at each attempt. */
  readonly url: string | (() => string)
  /** A token that is good now; asked at each attempt and for each renewal, and given ten seconds. */
  readonly token: () => string | Promise<string>
  /** Only where the token names no device. */
  readonly deviceId?: string
  /** Default: the global one. */
  readonly WebSocket?: SocketConstructor
  /** Without it missing messages are told by `onGap` alone. */
  readonly history?: History
  readonly onMessage?: (message: Message, conversation: string) => void
  readonly onReceipt?: (receipt: ReadReceipt) => void
  readonly onMembership?: (change: MembershipChange) => void
  readonly onGap?: (gap: Gap) => void
  readonly onState?: (state: ClientState) => void
  /** Something failed that concerns no single message; the client goes on, or `onEnd` follows. */
  readonly onError?: (error: ConnectionError) => void
  /** It will not come back by itself. */
  readonly onEnd?: (end: End) => void
  /** For a message with all its repeats, in milliseconds; default 60,000. */
  readonly sendTimeoutMs?: number
  /** For an answer to a message, before it goes again; default 10,000. */
  readonly answerTimeoutMs?: number
  /** Messages that may wait for their acceptance, offline too; default 1,000. */
  readonly maxWaiting?: number
  /** How long a message is held back for an earlier one that may still come by itself; default 1,000. */
  readonly reorderMs?: number
  /** How long the client stays connected in the background; default 30,000. */
  readonly backgroundMs?: number
  readonly clock?: ClientClock
  /** 0 up to 1. */
  readonly random?: () => number
}

export const DEFAULTS = { sendTimeoutMs: 60_000, answerTimeoutMs: 10_000, maxWaiting: 1_000, reorderMs: 1_000, backgroundMs: 30_000 }
