/** The reference client on a network and a clock that the test moves. */
import { ImClient, type ClientState, type ConnectionError, type End, type Gap, type ImClientOptions, type Message, type ReadReceipt } from '../../client/src/index.ts'
import { FakeNetwork } from './fake-web-socket.ts'
import { ManualClock, settle } from './manual-clock.ts'

export function world (options: Partial<ImClientOptions> = {}) {
  const [clock, network] = [new ManualClock(), new FakeNetwork()]
  const state = { tokens: 0, shown: [] as string[], gaps: [] as Gap[], ends: [] as End[], receipts: [] as ReadReceipt[], errors: [] as ConnectionError[], states: [] as ClientState[] }
  const client = new ImClient({
    url: 'wss://gateway.example/ws',
    token: () => `token-${++state.tokens}`,
    WebSocket: network.WebSocket,
    clock,
    random: () => 0.5,
    onMessage: ({ msgId }, conversation) => { state.shown.push(`${conversation} ${msgId}`) },
    onReceipt: (receipt) => { state.receipts.push(receipt) },
    onGap: (gap) => { state.gaps.push(gap) },
    onError: (error) => { state.errors.push(error) },
    onState: (entered) => { state.states.push(entered) },
    onEnd: (end) => { state.ends.push(end) },
    ...options
  })
  return { client, clock, network, state }
}

export async function opened (options: Partial<ImClientOptions> = {}) {
  const all = world(options)
  all.client.start()
  await settle()
  all.network.last.welcome()
  return all
}

/** The n-th of a conversation with bob, as a frame. */
export const message = (n: number, fields: object = {}) => ({ type: 'message', msg_id: `m${n}`, sender: 'bob', recipient: 'ann', content: 'hi', message_type: 'text', timestamp: 1, sequence_number: n, ...fields })
/** The same as the history has it. */
export const kept = (n: number): Message => ({ msgId: `m${n}`, sender: 'bob', recipient: 'ann', content: 'hi', messageType: 'text', metadata: {}, timestamp: 1, sequenceNumber: n })
