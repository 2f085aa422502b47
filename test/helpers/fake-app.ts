/** Stands in for src/app.ts in tests of the process: what it does is said by the environment. */
import fastify, { type FastifyInstance } from 'fastify'
import type { Config } from '../../src/config.ts'
import type { DrainTimes } from '../../src/connections/drain.ts'

const { FAKE = '' } = process.env
const say = (text: string): void => { process.stderr.write(`${text}\n`) }

export function operationsOf (): object {
  return {}
}

export async function build (config: Config): Promise<FastifyInstance> {
  if (FAKE === 'start-fails') throw new Error('the broker is away')
  if (FAKE === 'start-hangs') {
    say('hanging')
    setInterval(() => {}, 1000)
    await new Promise(() => {})
  }
  const app = fastify()
  app.get('/', async () => 'ok')
  app.decorate('health', { report: () => ({ ready: true, phase: 'serving', since: '', dependencies: {} }) } as never)
  app.decorate('metrics', { families: async () => [] } as never)
  app.decorate('drain', {
    start: async (times: DrainTimes) => {
      say(`drain ${times.delayMs} ${times.timeoutMs}`)
      if (FAKE === 'drain-hangs') await new Promise(() => {})
    }
  } as never)
  app.addHook('onClose', async () => { say('closed') })
  app.addHook('onListen', async () => {
    say(`listening ${config.node.nodeId}`)
    if (FAKE === 'throws') setTimeout(() => { throw new Error('unexpected') }, 10)
    if (FAKE === 'rejects') void Promise.reject(new Error('unexpected'))
    if (FAKE === 'rejects-nothing') void (async () => { AbortSignal.abort(null).throwIfAborted() })()
  })
  return app
}
