/** Spans by OpenTelemetry: a bounded queue behind the loop, sent to a collector in batches (OTLP over HTTP, protobuf). */
import { diag, DiagLogLevel, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, TraceFlags, type Context, type Tracer as ApiTracer } from '@opentelemetry/api'
import { parseTraceParent } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, ParentBasedSampler, TraceIdRatioBasedSampler, TracerProvider, type Sampler, type SamplingResult, type SpanExporter } from '@opentelemetry/sdk-trace'
import { systemClock } from '../../src/embedded/system-clock.ts'
import type { Logger, Span, SpanName, Tracer } from '../../src/ports.ts'
import { within } from '../../src/wait.ts'

export interface OtelTracerOptions {
  readonly endpoint: string
  readonly sampleRatio: number
  readonly nodeId: string
  readonly version: string
  readonly logger: Logger
  /** Instead of a collector (tests). */
  readonly exporter?: SpanExporter
}

/** Spans that wait; past it new ones are dropped: traces never cost the memory of clients. */
const MAX_QUEUE = 8_192
const MAX_BATCH = 512
const BATCH_DELAY_MS = 500
const EXPORT_TIMEOUT_MS = 3_000
/** At the end; what is not sent by then is lost. */
const CLOSE_TIMEOUT_MS = 2_000

const KINDS: Readonly<Record<SpanName, SpanKind>> = {
  send_msg: SpanKind.SERVER, route: SpanKind.CLIENT, push: SpanKind.SERVER, deliver: SpanKind.PRODUCER, group_msg: SpanKind.CONSUMER
}

export class OtelTracer implements Tracer {
  readonly #provider: TracerProvider
  readonly #tracer: ApiTracer

  constructor (options: OtelTracerOptions) {
    const { endpoint, sampleRatio, nodeId, version, logger } = options
    const report = (text: string, ...rest: unknown[]): void => { logger.warn({ detail: rest.map(String).join(' ') }, `traces: ${text}`) }
    diag.setLogger({ error: report, warn: report, info: () => {}, debug: () => {}, verbose: () => {} }, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true })
    const exporter = options.exporter ?? new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, '')}/v1/traces`, timeoutMillis: EXPORT_TIMEOUT_MS })
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({ 'service.name': 'im-gateway', 'service.version': version, 'service.instance.id': nodeId }),
      sampler: new Decision(sampleRatio),
      spanProcessors: [new BatchSpanProcessor({ exporter, maxQueueSize: MAX_QUEUE, maxExportBatchSize: MAX_BATCH, scheduledDelayMillis: BATCH_DELAY_MS, exportTimeoutMillis: EXPORT_TIMEOUT_MS })]
    })
    this.#tracer = this.#provider.getTracer('im-gateway', version)
  }

  start (name: SpanName, parent: string | undefined, attributes: Readonly<Record<string, string | number>>): Span {
    const span = this.#tracer.startSpan(name, { kind: KINDS[name], attributes: prefixed(attributes) }, contextOf(parent))
    const { traceId, spanId, traceFlags } = span.spanContext()
    return {
      traceparent: `00-${traceId}-${spanId}-0${traceFlags & TraceFlags.SAMPLED}`,
      end: (outcome, isFailure) => {
        span.setAttribute('im.outcome', outcome)
        if (isFailure) span.setStatus({ code: SpanStatusCode.ERROR, message: outcome })
        span.end()
      }
    }
  }

  /** Sends what waits; never rejects. */
  async close (): Promise<void> {
    await within(this.#provider.shutdown(), CLOSE_TIMEOUT_MS, systemClock).catch(() => {})
  }
}

/**
 * Callers inside, and Kafka records, bring a decision that is followed. A client's is not: whoever asks for every message
 * to be traced would spend what is ours. Its "no" counts, its "yes" gets the share of all.
 */
class Decision implements Sampler {
  readonly #byRatio: Sampler
  readonly #byParent: Sampler
  readonly #ratio: number

  constructor (ratio: number) {
    this.#ratio = ratio
    this.#byRatio = new TraceIdRatioBasedSampler(ratio)
    this.#byParent = new ParentBasedSampler({ root: this.#byRatio })
  }

  shouldSample (...args: Parameters<Sampler['shouldSample']>): SamplingResult {
    const [context, , name] = args
    const parent = trace.getSpanContext(context)
    const saysYes = parent !== undefined && (parent.traceFlags & TraceFlags.SAMPLED) !== 0
    return name === 'send_msg' && saysYes ? this.#byRatio.shouldSample(...args) : this.#byParent.shouldSample(...args)
  }

  toString (): string { return `Decision{${this.#ratio}}` }
}

function contextOf (parent: string | undefined): Context {
  const context = parent === undefined ? null : parseTraceParent(parent)
  return context === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...context, isRemote: true })
}

function prefixed (attributes: Readonly<Record<string, string | number>>): Record<string, string | number> {
  const named: Record<string, string | number> = {}
  for (const key in attributes) named[`im.${key}`] = attributes[key] as string | number
  return named
}
