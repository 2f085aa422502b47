/** `/metrics`: the Prometheus text format. */
import fp from 'fastify-plugin'
import type { Status } from '../src/operations.ts'

/** https://prometheus.io/docs/instrumenting/exposition_formats/ */
const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

export default fp<{ readonly status: Pick<Status, 'metrics'> }>(async function metricsRoute (fastify, { status }) {
  fastify.get('/metrics', async (_request, reply) => {
    return reply.type(CONTENT_TYPE).header('cache-control', 'no-store').send(await status.metrics())
  })
}, { name: 'metrics-route', fastify: '5.x' })
