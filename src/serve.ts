/** How a built gateway begins to serve: common to a node alone, a worker and the demo. */
import type { Running } from './lifecycle.ts'

interface Address {
  readonly host: string
  readonly port: number
  /** Whether other processes may bind the port as well: Fastify hands it on to net.Server.listen. */
  readonly reusePort?: boolean
}

interface Listener extends Pick<Running, 'drain'> {
  listen (address: Address): Promise<unknown>
  close (): Promise<unknown>
}

/** Listens, then does what else belongs to the start. Rejects with what failed, once all that was opened is closed. */
export async function serve (app: Listener, address: Address, afterwards = async (): Promise<void> => {}): Promise<Running> {
  try {
    await app.listen(address)
    await afterwards()
  } catch (error) {
    await app.close()
    throw error
  }
  return { drain: app.drain, close: () => app.close() }
}
