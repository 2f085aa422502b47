/** One `send_msg` frame under way, and what hangs on its connection. */
import type { Connection } from '../connections/connection.ts'
import type { Span } from '../ports.ts'
import type { SendFrame } from '../protocol/frames.ts'
import type { SendLines } from './send-lines.ts'

export interface Send {
  /** Of user and msg_id. */
  readonly key: string
  readonly connection: Connection
  readonly frame: SendFrame
  readonly recipient: string
  readonly submittedAtMs: number
  readonly span: Span | undefined
  /** Where it stands in the recorder. */
  readonly row: number
  /** The message that this one repeats and whose outcome it shares; undefined: it goes upstream itself. */
  readonly repeats: Send | undefined
  /** Repeats that wait for this one. */
  joined: Send[] | null
  /** In the list of its connection. */
  following: Send | null
}

/** A connection's messages that are queued or upstream. */
export type SendState = SendLines<Send>
