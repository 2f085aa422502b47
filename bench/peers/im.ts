/** How the peers hand a message to the IM Service: a unary gRPC call, as their users would write it. */
import { Client, credentials } from '@grpc/grpc-js'
import { methodDefinition } from '../../plugins/lib/grpc-service.ts'
import { IMServiceDefinition, MessageType, type RoutePrivateMessageResponse } from '../../src/generated/im/v1/im.ts'

const METHOD = methodDefinition(IMServiceDefinition.fullName, IMServiceDefinition.methods.routePrivateMessage)
const DEADLINE_MS = 5_000
const NO_METADATA: { [key: string]: string } = {}

export interface SendMsg { readonly msg_id: string, readonly recipient: string, readonly content: string, readonly timestamp: number }

export type Route = (senderId: string, message: SendMsg) => Promise<RoutePrivateMessageResponse>

export function routeTo (address: string): Route {
  const client = new Client(address, credentials.createInsecure())
  return (senderId, { msg_id: msgId, recipient, content, timestamp }) => new Promise((resolve, reject) => {
    const request = { msgId, senderId, recipientId: recipient, content, messageType: MessageType.MESSAGE_TYPE_TEXT, metadata: NO_METADATA, clientTimestamp: new Date(timestamp), senderDeviceId: 'phone' }
    client.makeUnaryRequest(METHOD.path, METHOD.requestSerialize, METHOD.responseDeserialize, request, { deadline: Date.now() + DEADLINE_MS } as never, (error: Error | null, response?: RoutePrivateMessageResponse) => {
      if (error !== null || response === undefined) reject(error ?? new Error('no answer'))
      else resolve(response)
    })
  })
}

/** The answer to a `send_msg` frame. */
export function ackOf (message: SendMsg, { sequenceNumber, serverTimestamp }: RoutePrivateMessageResponse): object {
  return { type: 'ack', msg_id: message.msg_id, sequence_number: Number(sequenceNumber), timestamp: serverTimestamp?.getTime() }
}
