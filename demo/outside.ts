/** The outside systems of the demo: embedded in the process, or real ones. */
import type { GroupBus, KvStore } from '../src/ports.ts'
import type { Producer } from './producer.ts'
import type { MessageStore } from './stores/message-store.ts'

/** Ready adapters that a gateway takes instead of opening its own. */
export interface GatewayAdapters {
  readonly kv?: KvStore
  readonly bus?: GroupBus
  /** null: the local caches are all there is. */
  readonly sharedCache?: null
}

export interface Outside {
  readonly producer: Producer
  readonly store: MessageStore
  /** The stand-in services' own client of the registry. */
  readonly kv: KvStore
  /** For one more gateway. */
  adapters (): GatewayAdapters
  /** Addresses and what else a gateway's environment needs. */
  readonly env: Readonly<Record<string, string>>
  /** Closes what was opened here; the adapters of gateways are closed by them or need no closing. */
  close (): Promise<void>
}
