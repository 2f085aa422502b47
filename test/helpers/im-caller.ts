/** The IM Service's side of a node's gRPC: calls with fields that a test has no need to name. */
import type { Test } from 'tap'
import { GatewayClient } from '../../demo/gateway-client.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import type { DisconnectResponse, GetPresenceResponse, PushMessageRequest, PushMessageResponse, PushReadReceiptRequest } from '../../src/generated/gateway/v1/gateway.ts'
import type { TestApp } from './app.ts'

export const BEARER = 'a-bearer-of-the-tests'

export interface ImCaller {
  push (fields: Partial<PushMessageRequest>, deadlineMs?: number): Promise<PushMessageResponse>
  receipt (fields: Partial<PushReadReceiptRequest>): Promise<PushMessageResponse>
  presence (userIds: string[]): Promise<GetPresenceResponse>
  disconnect (userId: string, deviceId?: string): Promise<DisconnectResponse>
}

/** Calls one node; it has to be started with `GRPC_AUTH_TOKEN: BEARER`. */
export function imCaller (t: Test, node: TestApp): ImCaller {
  const client = new GatewayClient({ bearer: BEARER, clock: systemClock })
  t.teardown(() => { client.close() })
  const gateway = `127.0.0.1:${node.app.pushServer.port}`
  return {
    push: (fields, deadlineMs = 5_000) => client.pushMessage(gateway, {
      msgId: 'p1', recipientId: 'ann', deviceId: '', senderId: 'bob', content: 'hi', messageType: 'text', sequenceNumber: 1n, timestamp: 1n, conversationId: '', metadata: {}, excludeDeviceId: '', scope: 0, ...fields
    }, deadlineMs),
    receipt: (fields) => client.pushReadReceipt(gateway, { msgId: 'm1', senderId: 'ann', readerId: 'bob', conversationId: 'bob', readAt: 5n, scope: 0, ...fields }, 5_000),
    presence: (userIds) => client.presence(gateway, userIds),
    disconnect: (userId, deviceId = '') => client.disconnect(gateway, { userId, deviceId, reason: 'test', scope: 0 })
  }
}
