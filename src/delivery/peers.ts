/** The other gateway nodes, as the core sees them. Every method rejects with a GatewayError when a node does not answer in time. */
import type {
  DisconnectRequest, DisconnectResponse, ExplainRequest, ExplainResponse, PushMessageRequest, PushMessageResponse, PushReadReceiptRequest
} from '../generated/gateway/v1/gateway.ts'

/** What can be asked of a node; `address` is its `host:port`, deadlines are milliseconds from now, `traceparent` is W3C trace context. */
export interface PeerNodes {
  push (address: string, request: PushMessageRequest, deadlineMs: number, traceparent?: string): Promise<PushMessageResponse>
  pushReadReceipt (address: string, request: PushReadReceiptRequest, deadlineMs: number): Promise<PushMessageResponse>
  disconnect (address: string, request: DisconnectRequest, deadlineMs: number): Promise<DisconnectResponse>
  explain (address: string, request: ExplainRequest, deadlineMs: number): Promise<ExplainResponse>
}
