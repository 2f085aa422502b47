import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { serve } from '../../src/serve.ts'

/** What a built gateway has of its drain, and notes of its close. */
function gateway (t: Test): { app: FastifyInstance, closed: () => number } {
  const app = Fastify()
  let closed = 0
  app.decorate('drain', { start: async () => {} } as unknown as FastifyInstance['drain'])
  app.addHook('onClose', async () => { closed++ })
  t.teardown(() => app.close())
  return { app, closed: () => closed }
}

t.test('a gateway that serves can be drained and closed', async (t) => {
  const { app, closed } = gateway(t)
  let isListening = false
  const running = await serve(app, { host: '127.0.0.1', port: 0 }, async () => { isListening = app.server.listening })
  t.ok(isListening, 'what belongs to the start comes after it listens')
  t.equal(running.drain, app.drain)
  t.equal(closed(), 0)
  await running.close()
  t.equal(closed(), 1)
})

t.test('where a start fails, what was opened is closed before its failure is told', async (t) => {
  const first = gateway(t)
  await serve(first.app, { host: '127.0.0.1', port: 0 })
  const address = first.app.server.address() as { readonly port: number }
  const second = gateway(t)
  await t.rejects(serve(second.app, { host: '127.0.0.1', port: address.port }), { code: 'EADDRINUSE' })
  t.equal(second.closed(), 1)

  const third = gateway(t)
  await t.rejects(serve(third.app, { host: '127.0.0.1', port: 0 }, async () => { throw new Error('not in the registry') }), /not in the registry/)
  t.equal(third.closed(), 1)
  t.notOk(third.app.server.listening)
})
