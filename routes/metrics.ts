/** `/metrics`: the Prometheus text format. */
import fp from 'fastify-plugin'

export default fp(async function metricsRoute (fastify) {
  fastify.get('/metrics', async (_request, reply) => {
    return reply.type(fastify.metrics.contentType).header('cache-control', 'no-store').send(await fastify.metrics.expose())
  })
}, { name: 'metrics-route', fastify: '5.x' })
