import t from 'tap'
import { MemoryMessageStore } from '../../demo/stores/memory-message-store.ts'
import { messageStoreSuite } from '../helpers/message-store.ts'

const store = new MemoryMessageStore()
await messageStoreSuite(t, store, 'r')
await store.close()
