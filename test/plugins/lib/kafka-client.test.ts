import { createRequire } from 'node:module'
import kafkajs from 'kafkajs'
import t from 'tap'
import { consumerConfig } from '../../../plugins/lib/kafka-consumer-config.ts'
import { kafkaConfig, logInto, openKafka, type KafkaClientOptions } from '../../../plugins/lib/kafka-client.ts'
import { tameRequestTimers, type RequestQueueInternals } from '../../../plugins/lib/kafka-request-timers.ts'
import { eventually } from '../../helpers/bus-conformance.ts'
import { FakeLogger } from '../../helpers/fakes.ts'
import { ManualClock } from '../../helpers/manual-clock.ts'

const require = createRequire(import.meta.url)
const { logLevel } = kafkajs

function options (changes: Partial<KafkaClientOptions> = {}): KafkaClientOptions {
  return { brokers: ['k1:9092', 'k2:9092'], clientId: 'node-1', tls: undefined, sasl: undefined, clock: new ManualClock(), logger: new FakeLogger(), ...changes }
}

t.test('TLS and SASL are handed on where they are set, and nothing is where they are not', (t) => {
  const plain = kafkaConfig(options())
  t.same(plain.brokers, ['k1:9092', 'k2:9092'])
  t.notOk('ssl' in plain || 'sasl' in plain)
  const sasl = Object.freeze({ mechanism: 'scram-sha-512', username: 'u', password: 'p' } as const)
  const secure = kafkaConfig(options({ sasl, tls: { ca: 'CA', cert: undefined, key: undefined } }))
  t.same(secure.ssl, { ca: 'CA' })
  t.same(secure.sasl, sasl)
  t.notOk(Object.isFrozen(secure.sasl), 'the library writes into it')
  t.same(kafkaConfig(options({ tls: {} })).ssl, {}, 'TLS with the authorities of the system')
  t.type(openKafka(options()).consumer, 'function')
  t.end()
})

t.test('the consumer heartbeats ten times in its session timeout, makes no topics and leaves restarts to us', async (t) => {
  const config = consumerConfig({ groupId: 'g', minBytes: 1, maxBytes: 10_000_000, maxWaitMs: 500, sessionTimeoutMs: 30_000, metadataMaxAgeMs: 10_000, commitIntervalMs: 0 })
  t.match(config, { heartbeatInterval: 3_000, sessionTimeout: 30_000, metadataMaxAge: 10_000, allowAutoTopicCreation: false, maxWaitTimeInMs: 500, maxBytesPerPartition: 262_144 })
  t.equal(await config.retry?.restartOnFailure?.(new Error('any')), false)
})

t.test('of the library\'s complaints one a second is a warning, the rest and its chatter are debug', (t) => {
  const [clock, logger] = [new ManualClock(), new FakeLogger()]
  const log = logInto(logger, clock)
  const say = (level: number, message: string, extra: object = {}): void => { log({ namespace: 'Connection', level, label: '', log: { timestamp: '', message, ...extra } }) }
  say(logLevel.INFO, 'joined')
  say(logLevel.ERROR, 'refused', { broker: 'k1:9092', error: new Error('ECONNREFUSED') })
  say(logLevel.ERROR, 'refused')
  say(logLevel.WARN, 'refused', { error: 'text' })
  clock.advance(1_000)
  say(logLevel.WARN, 'again')
  t.same(logger.lines.map(({ level }) => level), ['debug', 'warn', 'debug', 'debug', 'warn'])
  t.match(logger.lines[1]?.facts, { part: 'Connection', message: 'refused', broker: 'k1:9092', reason: 'ECONNREFUSED', hidden: 0 })
  t.match(logger.lines[4]?.facts, { message: 'again', hidden: 2 })
  t.end()
})

t.test('kafkajs #1751: no timer runs while no request waits, and throttled requests still go out in time', async (t) => {
  t.ok(tameRequestTimers() && tameRequestTimers())
  const RequestQueue = require('kafkajs/src/network/requestQueue/index.js') as new (options: object) => RequestQueueInternals & {
    push (request: object): void, maybeThrottle (ms: number): void, destroy (): void
  }
  const logger = { debug () {}, warn () {} }
  const queue = new RequestQueue({ maxInFlightRequests: null, requestTimeout: 1_000, enforceRequestTimeout: false, clientId: 'c', broker: 'b', logger })
  queue.checkPendingRequests()
  t.equal(queue.throttleCheckTimeoutId, null)
  const sentAtMs: number[] = []
  const request = (correlationId: number): object => ({
    entry: { correlationId, apiKey: 1, apiName: 'Fetch', apiVersion: 1, resolve () {}, reject () {} },
    expectResponse: false,
    requestTimeout: 1_000,
    sendRequest: () => { sentAtMs.push(performance.now()) }
  })
  const startMs = performance.now()
  queue.maybeThrottle(60)
  queue.push(request(1))
  queue.push(request(2))
  t.same(sentAtMs, [])
  t.ok(queue.throttleCheckTimeoutId)
  await eventually(() => sentAtMs.length === 2, 5_000)
  t.ok((sentAtMs[0] ?? 0) - startMs >= 50)
  t.equal(queue.throttleCheckTimeoutId, null)
})
