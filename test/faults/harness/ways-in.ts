/** A way to each node for its clients, which can be cut. */
import type { Test } from 'tap'
import { TcpProxy } from '../../helpers/tcp-proxy.ts'
import type { FaultWorld } from './fault-world.ts'

export interface WaysIn {
  /** `ws://…/ws` of the nodes that run, through their ways. */
  readonly urls: readonly string[]
  /** What is connected is cut off; who comes again is let in. */
  cut (): void
}

/** To the nodes that run now; one that is started again under its old port is reached as before. They end with the test. */
export async function waysIn (t: Test, world: FaultWorld): Promise<WaysIn> {
  const proxies = new Map<string, TcpProxy>()
  t.teardown(() => { for (const proxy of proxies.values()) proxy.close() })
  for (const { nodeId, port } of world.nodes) proxies.set(nodeId, await TcpProxy.to(`127.0.0.1:${port}`))
  return {
    get urls () { return world.nodes.flatMap(({ nodeId }) => proxies.has(nodeId) ? [`ws://${proxies.get(nodeId)?.address}/ws`] : []) },
    cut: () => {
      for (const proxy of proxies.values()) {
        proxy.cut()
        proxy.heal()
      }
    }
  }
}
