/** Who calls the gateway's gRPC as the IM Service would. */
import { PeerClients } from '../../plugins/lib/peer-clients.ts'
import { Scope, type PushMessageRequest } from '../../src/generated/gateway/v1/gateway.ts'
import { CONTENT } from '../peers/control.ts'

const ACK_TIMEOUT_MS = 5_000
/** Long enough to go by stream, and too short for it. */
const DEADLINES_MS = { stream: 30_000, unary: 5_000 } as const

/** So many pushes, some at a time, each to the next of so many users; the first one is number `from`, so that those of a user are numbered on. */
export interface Pushes { readonly from: number, readonly count: number, readonly atOnce: number, readonly users: number }

/** Resolves to the number of devices that acknowledged. */
export async function pushAll (port: number, bearer: string, via: 'stream' | 'unary', { from, count, atOnce, users }: Pushes): Promise<number> {
  const clients = new PeerClients({ authToken: bearer, ackTimeoutMs: ACK_TIMEOUT_MS })
  let [begun, acknowledged] = [0, 0]
  const work = async (): Promise<void> => {
    while (begun < count) {
      const n = from + begun++
      const { deliveredCount } = await clients.push(`127.0.0.1:${port}`, request(n % users, Math.floor(n / users) + 1), DEADLINES_MS[via])
      acknowledged += deliveredCount
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  clients.close()
  return acknowledged
}

function request (user: number, n: number): PushMessageRequest {
  return {
    msgId: `p${n}`, recipientId: `u${user}`, deviceId: 'phone', senderId: 'u0', content: CONTENT, messageType: 'text', sequenceNumber: BigInt(n), timestamp: BigInt(Date.now()), conversationId: '', metadata: {}, excludeDeviceId: '', scope: Scope.LOCAL
  }
}
