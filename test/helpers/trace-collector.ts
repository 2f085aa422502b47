/** An OTLP collector of traces: takes them over HTTP as protobuf and remembers the spans. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import type { Test } from 'tap'

export interface CollectedSpan {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  readonly kind: number
  readonly attributes: Readonly<Record<string, string | number>>
  /** `service.instance.id`. */
  readonly node: string
  /** 0 unset, 2 error. */
  readonly status: number
}

/** Fields of a message by number, each as often as it came: bytes, or numbers. */
type Fields = Map<number, Array<Uint8Array | number>>

export class TraceCollector {
  readonly spans: CollectedSpan[] = []
  readonly #server: Server

  private constructor () {
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => { parts.push(part) })
      request.on('end', () => {
        if (request.url === '/v1/traces' && request.headers['content-type'] === 'application/x-protobuf') this.#take(Buffer.concat(parts))
        response.setHeader('content-type', 'application/x-protobuf').end()
      })
    })
  }

  /** Ends with the test. */
  static async start (t: Test): Promise<TraceCollector> {
    const collector = new TraceCollector()
    collector.#server.listen(0, '127.0.0.1')
    await once(collector.#server, 'listening')
    t.teardown(() => {
      collector.#server.close()
      collector.#server.closeAllConnections()
    })
    return collector
  }

  get url (): string { return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}` }

  /** opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest. */
  #take (request: Uint8Array): void {
    for (const resourceSpans of messages(read(request), 1)) {
      const [resource = new Map() as Fields] = messages(resourceSpans, 1)
      const node = String(attributesOf(resource, 1)['service.instance.id'])
      for (const scope of messages(resourceSpans, 2)) {
        for (const span of messages(scope, 2)) {
          const [status = new Map() as Fields] = messages(span, 15)
          this.spans.push({
            name: text(span, 5), traceId: hex(span, 1), spanId: hex(span, 2), parentSpanId: hex(span, 4), kind: Number(span.get(6)?.[0] ?? 0), attributes: attributesOf(span, 9), node, status: Number(status.get(3)?.[0] ?? 0)
          })
        }
      }
    }
  }
}

function read (bytes: Uint8Array): Fields {
  const fields: Fields = new Map()
  const reader = new BinaryReader(bytes)
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag()
    const value = type === WireType.LengthDelimited ? reader.bytes() : type === WireType.Varint ? Number(reader.uint64()) : undefined
    if (value === undefined) reader.skip(type)
    else fields.set(number, [...fields.get(number) ?? [], value])
  }
  return fields
}

function messages (fields: Fields, number: number): Fields[] {
  return (fields.get(number) ?? []).map((bytes) => read(bytes as Uint8Array))
}

function bytesOf (fields: Fields, number: number): Buffer {
  return Buffer.from(fields.get(number)?.[0] as Uint8Array | undefined ?? [])
}

function text (fields: Fields, number: number): string {
  return bytesOf(fields, number).toString()
}

function hex (fields: Fields, number: number): string {
  return bytesOf(fields, number).toString('hex')
}

/** opentelemetry.proto.common.v1.KeyValue, whose values are texts or integers here. */
function attributesOf (fields: Fields, number: number): Record<string, string | number> {
  return Object.fromEntries(messages(fields, number).map((attribute) => {
    const [value = new Map() as Fields] = messages(attribute, 2)
    return [text(attribute, 1), value.has(1) ? text(value, 1) : Number(value.get(3)?.[0])]
  }))
}
