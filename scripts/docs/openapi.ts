/** docs/openapi.json: the HTTP routes, public and admin. Paths, methods and parameters are those of the routes themselves. */
import swagger from '@fastify/swagger'
import fastify, { type FastifyInstance, type FastifySchema } from 'fastify'
import fp from 'fastify-plugin'
import adminRoutes from '../../routes/admin.ts'
import healthRoutes from '../../routes/healthz.ts'
import metricsRoute from '../../routes/metrics.ts'
import wsRoute from '../../routes/ws.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { readVersion } from '../../src/version.ts'
import { HTTP_ROUTES } from './http-routes.ts'

/** Throws where a route has no row in the table, or a row no route. */
export async function openapi (): Promise<object> {
  const app = fastify()
  const described = new Set<string>()
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'IM gateway, HTTP routes', version: readVersion(), description: 'The WebSocket behind /ws is in asyncapi.yaml.', license: { name: 'Apache-2.0' } },
      servers: [
        { url: 'http://127.0.0.1:{port}', description: 'WS_PORT, and ADMIN_PORT where it is set, for what is tagged public', variables: { port: { default: '8080' } } },
        { url: 'http://127.0.0.1:{port}', description: 'ADMIN_PORT, for what is tagged admin', variables: { port: { default: '9090' } } }
      ],
      tags: [{ name: 'public', description: 'On WS_PORT; but for /ws on ADMIN_PORT as well' }, { name: 'admin', description: 'On ADMIN_PORT alone' }],
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
          admin: { type: 'http', scheme: 'bearer', description: 'ADMIN_TOKEN; without one, whoever reaches the loopback address' }
        }
      }
    },
    transform: ({ schema, url, route }) => ({ schema: describe(schema, `${String(route.method)} ${url}`, described), url })
  })
  await registerRoutes(app)
  await app.ready()
  const document = app.swagger()
  await app.close()
  const unused = Object.keys(HTTP_ROUTES).filter((name) => !described.has(name))
  if (unused.length > 0) throw new RangeError(`no such route: ${unused.join(', ')}`)
  return document
}

export async function openapiPage (): Promise<string> {
  return `${JSON.stringify(await openapi(), null, 2)}\n`
}

function describe (schema: FastifySchema | undefined, name: string, described: Set<string>): FastifySchema {
  // Fastify answers HEAD wherever it answers GET.
  if (name.startsWith('HEAD ')) return { hide: true } as FastifySchema
  const row = HTTP_ROUTES[name]
  if (row === undefined) throw new RangeError(`scripts/docs/http-routes.ts has no row for ${name}`)
  described.add(name)
  return { ...schema, ...row, operationId: name.toLowerCase().replace(/\W+/g, '_') } as FastifySchema
}

/** The routes without a node behind them: nobody asks them here. */
async function registerRoutes (app: FastifyInstance): Promise<void> {
  const nobody = undefined as never
  for (const name of ['connections', 'rate-limit']) await app.register(fp(async () => {}, { name }))
  await app.register(wsRoute, { clock: systemClock, path: '/ws', allowQueryToken: false, allowedOrigins: [], allowEmptyOrigin: true, refusal: () => undefined, onAccepted: () => {} })
  await app.register(healthRoutes, { status: nobody })
  await app.register(metricsRoute, { status: nobody })
  await app.register(adminRoutes, { operations: nobody, token: undefined })
}
