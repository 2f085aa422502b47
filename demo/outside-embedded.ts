/** Registry, group bus and message store in this process. */
import { MemoryBroker } from '../src/embedded/memory-bus.ts'
import { MemoryKv } from '../src/embedded/memory-kv.ts'
import { MemoryStore } from '../src/embedded/memory-store.ts'
import type { Clock, Logger } from '../src/ports.ts'
import type { Outside } from './outside.ts'
import { MemoryMessageStore } from './stores/memory-message-store.ts'

export function openEmbedded (clock: Clock, logger: Logger): Outside {
  const world = new MemoryStore({ clock })
  const broker = new MemoryBroker({ clock, logger })
  const kv = new MemoryKv({ clock, store: world })
  const store = new MemoryMessageStore()
  return {
    producer: { produce: async (topic, key, value) => { await broker.produce(topic, key, JSON.stringify(value)) } },
    store,
    kv,
    adapters: () => ({ kv: new MemoryKv({ clock, store: world }), bus: broker.consumer(), sharedCache: null }),
    env: { HANDSHAKE_LIMITER: 'local' },
    close: async () => {
      await store.close()
      await kv.close()
    }
  }
}
