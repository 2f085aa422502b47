/** Owns the way to the collector of traces; decorates `tracer`, which is undefined where there is none. */
import fp from 'fastify-plugin'
import type { Tracer } from '../src/ports.ts'

declare module 'fastify' {
  interface FastifyInstance {
    tracer: Tracer | undefined
  }
}

export interface TracingOptions {
  /** Base URL of an OTLP collector; undefined: off. */
  readonly endpoint: string | undefined
  /** 0 to 1. */
  readonly sampleRatio: number
  readonly nodeId: string
  readonly version: string
}

export default fp<TracingOptions>(async function tracing (fastify, { endpoint, ...options }) {
  if (endpoint === undefined) {
    fastify.decorate('tracer', undefined)
    return
  }
  // Off, not even its code is loaded.
  const { OtelTracer } = await import('./lib/otel-tracer.ts')
  const tracer = new OtelTracer({ ...options, endpoint, logger: fastify.log })
  fastify.decorate('tracer', tracer)
  fastify.addHook('onClose', async () => { await tracer.close() })
}, { name: 'tracing', fastify: '5.x' })
