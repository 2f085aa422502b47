/** Asks this node and, by Explain, all others that the registry knows. */
import type { PeerNodes } from '../delivery/peers.ts'
import type { Explainer } from './explainer.ts'
import { explanationOf, mergeExplanations, unanswered, type Explanation, type ExplainQuery } from './explanation.ts'

export interface ClusterExplainerOptions {
  readonly nodeId: string
  readonly explainer: Pick<Explainer, 'explain'>
  readonly peers: Pick<PeerNodes, 'explain'>
  /** The addresses of the other nodes, by id. */
  readonly otherNodes: () => ReadonlyMap<string, string>
  /** What another node may take, in milliseconds. */
  readonly timeoutMs?: number
}

/** Less than a primary waits for its workers. */
const TIMEOUT_MS = 1_500

export class ClusterExplainer {
  readonly #options: ClusterExplainerOptions

  constructor (options: ClusterExplainerOptions) {
    this.#options = options
  }

  /** A node that does not answer is named. Rejects with a GatewayError, INVALID_MESSAGE, that names the field. */
  async explain ({ msg_id: msgId = '', user: userId = '', scope, except = [] }: ExplainQuery): Promise<Explanation> {
    const { nodeId, explainer, peers, otherNodes, timeoutMs = TIMEOUT_MS } = this.#options
    const request = { msgId, userId }
    const own = except.includes(nodeId) ? [] : [explanationOf(nodeId, explainer.explain(request))]
    if (scope === 'local') return mergeExplanations(own)
    const asked = [...otherNodes()].filter(([node]) => !except.includes(node))
    const others = await Promise.all(asked.map(async ([node, address]) => {
      try {
        return explanationOf(node, await peers.explain(address, request, timeoutMs))
      } catch (error) {
        return unanswered(node, error instanceof Error ? error.message : String(error))
      }
    }))
    return mergeExplanations([...own, ...others])
  }
}
