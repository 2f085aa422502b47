/**
 * Reads of the registry, each in the lane of the puts that it may meet: in one batch with such a put a read would not see
 * it, and its answer would carry the revision of the put all the same.
 */
import type { Answer, Batcher } from './batcher.ts'
import { nodeKey, userPrefix } from './records.ts'

/** The keys of a user's devices. `timeoutMs`: how long the answer is waited for. Rejects as `Batcher.submit`. */
export function readUser (batcher: Batcher, userId: string, timeoutMs: number): Promise<Answer> {
  const prefix = userPrefix(userId)
  return batcher.submit({ lane: prefix, operation: { when: [], then: undefined, otherwise: { read: prefix, prefix: true } }, timeoutMs })
}

/** The key of a node. As `readUser` otherwise. */
export function readNode (batcher: Batcher, nodeId: string, timeoutMs: number): Promise<Answer> {
  const key = nodeKey(nodeId)
  return batcher.submit({ lane: key, operation: { when: [], then: undefined, otherwise: { read: key } }, timeoutMs })
}
