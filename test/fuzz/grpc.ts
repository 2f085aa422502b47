/** The node's own gRPC server: HTTP/2 by hand, so that headers, framing and messages can each be wrong. */
import http2 from 'node:http2'
import { connect } from 'node:net'
import fc from 'fast-check'
import { DisconnectRequest, ExplainRequest, GatewayServiceDefinition, GetPresenceRequest, PushBatch, PushMessageRequest, PushReadReceiptRequest } from '../../src/generated/gateway/v1/gateway.ts'
import { chunked, mutated, noise } from './arbitraries.ts'
import { FODDER, MUTE } from './people.ts'
import { closing, within, type Subject, type Target } from './target.ts'

interface Call {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** Hexadecimal. */
  readonly body: readonly string[]
  /** 'raw': the body without HTTP/2 around it. */
  readonly ending: 'end' | 'reset' | 'destroy' | 'raw'
}

const user = fc.oneof(fc.constantFrom(FODDER, MUTE, 'f1', 'nobody', ''), fc.string({ unit: 'binary', maxLength: 130 }))
const text = fc.string({ unit: 'binary', maxLength: 100 })
const int64 = fc.oneof(fc.constantFrom(0n, 1n, -1n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)), fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }))
const scope = fc.constantFrom(0, 1, 2, -1, 99)
const push: fc.Arbitrary<PushMessageRequest> = fc.record({
  msgId: fc.oneof(fc.constantFrom('p1', 'p2'), text),
  recipientId: user,
  deviceId: fc.constantFrom('', '', 'phone', 'none', '/'),
  senderId: user,
  content: fc.oneof(text, fc.constant('x'.repeat(70_000))),
  messageType: fc.constantFrom('text', 'image', '', 'none'),
  sequenceNumber: int64,
  timestamp: int64,
  conversationId: text,
  metadata: fc.dictionary(text, text, { maxKeys: 40 }),
  excludeDeviceId: fc.constantFrom('', 'phone'),
  scope
} as never)
const message: fc.Arbitrary<Buffer> = fc.oneof(
  push.map((request) => PushMessageRequest.encode(request).finish()),
  fc.array(fc.record({ correlation: fc.nat(), push: fc.option(push, { nil: undefined }), traceparent: fc.constantFrom('', 'x') }), { maxLength: 10 }).map((items) => PushBatch.encode({ items } as never).finish()),
  fc.record({ msgId: text, senderId: user, readerId: user, conversationId: text, readAt: int64, scope }).map((request) => PushReadReceiptRequest.encode(request as never).finish()),
  fc.array(user, { maxLength: 120 }).map((userIds) => GetPresenceRequest.encode({ userIds }).finish()),
  fc.record({ userId: user, deviceId: fc.constantFrom('', 'phone', 'none'), reason: text, scope }).map((request) => DisconnectRequest.encode(request as never).finish()),
  fc.record({ msgId: fc.oneof(fc.constantFrom('p1', ''), text), userId: user }).map((request) => ExplainRequest.encode(request).finish())
).map((bytes) => Buffer.from(bytes))

const framed = fc.tuple(mutated(message), fc.oneof({ weight: 10, arbitrary: fc.constant(0) }, fc.integer({ min: -5, max: 5 }), fc.constant(2 ** 31)), fc.constantFrom(0, 0, 0, 0, 1, 7))
  .map(([bytes, lie, flag]) => {
    const head = Buffer.alloc(5)
    head[0] = flag
    head.writeUInt32BE(Math.max(0, bytes.length + lie), 1)
    return Buffer.concat([head, bytes])
  })
const body = fc.oneof({ weight: 6, arbitrary: fc.array(framed, { maxLength: 4 }).map((list) => Buffer.concat(list)) }, mutated(framed), noise)

const service = `/${GatewayServiceDefinition.fullName}/`
const path = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('PushMessage', 'PushStream', 'PushReadReceipt', 'GetPresence', 'Disconnect', 'Explain').map((method) => service + method) },
  fc.constantFrom(service, `${service}Nothing`, '/', '/grpc.health.v1.Health/Check', '/grpc.health.v1.Health/List', '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', '/__proto__/constructor', `${service}toString`)
)
const headers = fc.record({
  'content-type': fc.constantFrom('application/grpc', 'application/grpc', 'application/grpc', 'application/grpc+proto', 'application/json', 'text/plain'),
  te: fc.constant('trailers'),
  'grpc-timeout': fc.constantFrom('1S', '50m', '0n', '99999999H', '-1S', 'x', '1'),
  'grpc-encoding': fc.constantFrom('identity', 'gzip', 'deflate', 'none'),
  'grpc-accept-encoding': fc.constantFrom('gzip', ''),
  traceparent: fc.constantFrom('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'x'),
  'x-bin': fc.constantFrom('AAAA', '!!!'),
  authorization: fc.constantFrom('Bearer x', ''),
  'x-long': fc.constantFrom('a', 'x'.repeat(20_000))
}, { requiredKeys: ['content-type'] })

async function raw (port: number, chunks: readonly Buffer[]): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.on('error', () => {}).resume()
  const closed = closing(socket)
  for (const chunk of chunks) socket.write(chunk)
  socket.end()
  // A half-closed socket may stay open as long as the server has something to say.
  socket.setTimeout(200, () => { socket.destroy() })
  await within(closed, 'the end of a socket')
}

export const grpc: Target<Call> = {
  cases: fc.record({ path, headers: headers as fc.Arbitrary<Record<string, string>>, body: chunked(body), ending: fc.constantFrom('end', 'end', 'end', 'end', 'reset', 'destroy', 'raw') }),
  play: async ({ grpcPort }: Subject, { path: where, headers: fields, body: chunks, ending }) => {
    const parts = chunks.map((chunk) => Buffer.from(chunk, 'hex'))
    if (ending === 'raw') {
      await raw(grpcPort, [Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), ...parts])
      return
    }
    const session = http2.connect(`http://127.0.0.1:${grpcPort}`)
    session.on('error', () => {})
    const stream = session.request({ ':method': 'POST', ':path': where, ...fields })
    stream.on('error', () => {}).resume()
    const closed = closing(stream)
    for (const part of parts) stream.write(part)
    if (ending === 'end') stream.end()
    else if (ending === 'reset') stream.close(http2.constants.NGHTTP2_CANCEL)
    else session.destroy()
    try {
      await within(closed, `the answer to ${where}`)
    } finally {
      session.destroy()
    }
  }
}
