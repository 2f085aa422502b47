/** `/healthz`: the process lives. `/readyz`: it should get traffic, with one line for each dependency [GW-OBS-4]. */
import fp from 'fastify-plugin'
import { reportText } from '../src/health.ts'
import type { Status } from '../src/operations.ts'

export default fp<{ readonly status: Pick<Status, 'health'> }>(async function healthRoutes (fastify, { status }) {
  fastify.get('/healthz', async (_request, reply) => {
    return reply.header('cache-control', 'no-store').send({ status: 'ok' })
  })

  fastify.get('/readyz', async (_request, reply) => {
    const report = await status.health()
    return reply.code(report.ready ? 200 : 503).type('application/json').header('cache-control', 'no-store').send(reportText(report))
  })
}, { name: 'health-routes', fastify: '5.x' })
