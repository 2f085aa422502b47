/** A real OpenTelemetry Collector that takes OTLP over HTTP and hands on what arrives; it ends with the test. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { stringify } from 'yaml'
import { freePort } from './free-port.ts'
import { startProgram, tools } from './program.ts'

/** `to`: base URL of who gets the traces. Resolves to its own, once it listens. */
export async function startCollector (t: Test, to: string): Promise<string> {
  const endpoint = `127.0.0.1:${await freePort()}`
  const file = join(t.testdir({}), 'collector.yaml')
  writeFileSync(file, stringify({
    receivers: { otlp: { protocols: { http: { endpoint } } } },
    exporters: { otlp_http: { endpoint: to, compression: 'none', sending_queue: { enabled: false } } },
    service: { telemetry: { metrics: { level: 'none' } }, pipelines: { traces: { receivers: ['otlp'], exporters: ['otlp_http'] } } }
  }))
  await startProgram(t, join(tools('collector'), 'otelcol'), [`--config=${file}`], ({ words }) => words.includes('Everything is ready'))
  return `http://${endpoint}`
}
