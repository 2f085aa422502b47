/** What the page is told: shared by the side that tells and the side that draws, so free of both. */

/** `starting` lasts until the registry has let go of the one before: a node that was killed holds its id until its lease ends. */
export type NodeState = 'up' | 'draining' | 'down' | 'starting'

/** Everything the page draws, as of now. */
export interface LiveState {
  readonly nodes: ReadonlyArray<{ readonly id: string, readonly state: NodeState, readonly address: string }>
  /** By the registry's word. */
  readonly devices: ReadonlyArray<{ readonly user: string, readonly device: string, readonly node: string }>
  readonly groups: ReadonlyArray<{ readonly id: string, readonly members: readonly string[] }>
  /** Users whose connections are slowed. */
  readonly slow: readonly string[]
}

/** A device of the recipient has acknowledged. */
export interface Delivered { readonly msg_id: string, readonly sender: string, readonly recipient: string }
