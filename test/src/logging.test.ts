import fastify from 'fastify'
import { pino } from 'pino'
import { Writable } from 'node:stream'
import t from 'tap'
import { errorFacts, loggingOptions, scrub } from '../../src/logging.ts'

const TOKEN = 'eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiYWxpY2UifQ.c2lnbmF0dXJlLXNpZ25hdHVyZQ'
const CONTENT = 'meet me at the old bridge'

function capture (level = 'trace') {
  const lines: string[] = []
  const stream = new Writable({ write (chunk: Buffer, _encoding, done) { lines.push(...chunk.toString().split('\n').filter((line) => line !== '')); done() } })
  return { lines, stream, options: loggingOptions({ level, nodeId: 'gw-1' }) }
}

t.test('[GW-OBS-3] a line is JSON with its level, its time and the ids, and text cannot break out of it', async (t) => {
  const { lines, stream, options } = capture('info')
  const log = pino(options, stream)
  log.info({ connection: 'x.1', user: 'alice\n{"level":"fatal"}', device: 'web' }, 'connection opened\n{}')
  log.debug({}, 'not written')
  t.equal(lines.length, 1)
  t.match(JSON.parse(lines[0] as string), { level: 'info', node: 'gw-1', connection: 'x.1', user: 'alice\n{"level":"fatal"}', device: 'web', msg: 'connection opened\n{}', time: /^\d{4}-\d\d-\d\dT/ })
})

t.test('[GW-OBS-3] tokens and content never appear, at any level and wherever they are handed in', async (t) => {
  const { lines, stream, options } = capture()
  const log = pino(options, stream)
  let parseError: unknown
  try { JSON.parse(`{"content":"${CONTENT}"`.replace('{"', '{')) } catch (error) { parseError = error }
  t.match((parseError as Error).message, /JSON/)
  const odd = Object.assign(new Error(`refused ${TOKEN}`, { cause: new Error(`at /ws?token=${TOKEN}`) }), { request: { headers: { authorization: `Bearer ${TOKEN}` } }, frame: CONTENT })
  for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const) {
    log[level]({ token: TOKEN, frame: { type: 'send_msg', content: CONTENT } }, 'frame')
    log[level]({ message: { content: CONTENT, metadata: { a: CONTENT } }, auth: { jwt: TOKEN } }, 'message')
    log[level]({ request: { headers: { authorization: `Bearer ${TOKEN}`, 'sec-websocket-protocol': `im.v1.json, bearer.${TOKEN}` } } }, 'request')
    log[level]({ err: parseError }, 'cannot parse')
    log[level]({ err: odd }, 'failed')
    log[level](odd)
    log[level]({ err: odd, user: 'alice' })
    log[level](parseError)
    log[level](odd, 'failed again')
    log[level](`GET /ws?token=${TOKEN} and Authorization: Bearer ${TOKEN} and bearer.${TOKEN}`)
    log[level]({ err: CONTENT }, 'thrown text')
  }
  const all = lines.join('\n')
  t.equal(lines.length, 66)
  for (const secret of [...TOKEN.split('.'), CONTENT]) t.notOk(all.includes(secret), secret)
  t.match(all, /\[hidden\]/)
})

t.test('[GW-OBS-3] a request is logged without its query and its headers, an unknown route as well', async (t) => {
  const { lines, stream, options } = capture()
  const app = fastify({ logger: { ...options, stream } })
  app.get('/known', async (request) => { request.log.info({ req: request }, 'here'); return 'ok' })
  t.teardown(() => app.close())
  for (const path of ['/known', '/unknown']) await app.inject({ url: `${path}?token=${TOKEN}&x=${encodeURIComponent(CONTENT)}`, headers: { authorization: `Bearer ${TOKEN}` } })
  const all = lines.join('\n')
  t.match(all, /"path":"\/known"/)
  t.notOk(all.includes(TOKEN) || all.includes(encodeURIComponent(CONTENT)))
})

t.test('an error keeps its kind, its code, its places and its causes, and nothing else', async (t) => {
  const facts = errorFacts(Object.assign(new RangeError('too much', { cause: Object.assign(new Error('down'), { code: 14 }) }), { code: 'E_X', secret: 'x' }))
  t.match(facts, { type: 'RangeError', message: 'too much', code: 'E_X', cause: { type: 'Error', message: 'down', code: 14 } })
  t.match(facts.stack, /^\s+at /)
  t.notOk('secret' in facts)
  let deep = new Error('0')
  for (let at = 1; at < 10; at++) deep = new Error(String(at), { cause: deep })
  t.equal(JSON.stringify(errorFacts(deep)).match(/"message"/g)?.length, 4)
  t.same(errorFacts('text'), { type: 'string', message: '[hidden]', stack: '' })
  t.equal(scrub('nothing to hide'), 'nothing to hide')
  t.equal(scrub('127.0.0.1:9093 im-gateway 1.2.3'), '127.0.0.1:9093 im-gateway 1.2.3')
})
