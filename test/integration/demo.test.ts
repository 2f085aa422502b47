import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { DemoClient, within } from '../../demo/client.ts'
import { demo as demoOf } from '../helpers/demo-process.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const STEPS = 16
const CLUSTER_STEPS = 5
const run = promisify(execFile)
const demo = (args: readonly string[], env?: Record<string, string | undefined>) => demoOf(t, args, env)

t.test('the story passes on the embedded side: every step ok, exit code 0, within a minute', { timeout: 120_000 }, async (t) => {
  const started = performance.now()
  const { texts, ended } = demo(['--once'])
  t.strictSame(await ended, { code: 0, signal: null }, texts.err)
  const lines = texts.out.trim().split('\n')
  t.equal(lines.length, STEPS)
  for (const line of lines) t.match(line, /^ok .+ … \d+ ms$/)
  t.ok(performance.now() - started < 60_000)
  t.equal(texts.err, '')
})

t.test('the story of three nodes passes: takeovers between them, one killed and one drained under talk', { timeout: 120_000 }, async (t) => {
  const { texts, ended } = demo(['--once', '--nodes', '3'])
  t.strictSame(await ended, { code: 0, signal: null }, texts.out + texts.err)
  t.equal(texts.out.trim().split('\n').length, STEPS + CLUSTER_STEPS)
  t.match(texts.out, /^ok node killed under talk/m)
})

t.test('the story passes on real etcd, Redis, Kafka and MySQL, and passes again on what it left there', { timeout: 240_000 }, async (t) => {
  for (const name of ['ETCD_ENDPOINTS', 'REDIS_ADDR', 'KAFKA_BROKERS', 'MYSQL_URL']) t.ok(process.env[name], `${name} is needed`)
  for (const round of [1, 2]) {
    const { texts, ended } = demo(['--once', '--real'])
    t.strictSame(await ended, { code: 0, signal: null }, `round ${round}: ${texts.out}${texts.err}`)
    t.equal(texts.out.trim().split('\n').filter((line) => line.startsWith('ok ')).length, STEPS)
  }
})

t.test('--real names every address that is missing; an unknown option is refused', { timeout: 60_000 }, async (t) => {
  const { texts, ended } = demo(['--once', '--real'], { ETCD_ENDPOINTS: undefined, MYSQL_URL: '', REDIS_ADDR: '127.0.0.1:1', KAFKA_BROKERS: '127.0.0.1:1' })
  t.match(await ended, { code: 1 })
  t.match(texts.err, /ETCD_ENDPOINTS, MYSQL_URL/)
  t.notMatch(texts.err, /REDIS_ADDR|KAFKA_BROKERS/)
  const wrong = demo(['--twice'])
  t.match(await wrong.ended, { code: 64 })
  t.match(wrong.texts.err, /Usage/)
  const many = demo(['--nodes', '10'])
  t.match(await many.ended, { code: 64 })
  t.match(many.texts.err, /1 to 9/)
})

t.test('the demo that stays up is spoken to as it says, by grpcurl as well, and Ctrl-C ends it cleanly', { timeout: 600_000 }, async (t) => {
  const { stdout: folder } = await run('bash', ['scripts/tools.sh', 'grpcurl'], { cwd: ROOT })
  const grpcurl = join(folder.trim(), 'grpcurl')
  const { child, texts, ended, printed } = demo([])
  await within(printed(/PushMessage\n/), 'welcome text', 60_000)

  const url = /WebSocket +(ws:\S+)/.exec(texts.out)?.[1] ?? ''
  const token = /export ALICE=(\S+)/.exec(texts.out)?.[1] ?? ''
  const alice = await DemoClient.connect({ url, token, deviceId: 'phone' })
  t.match(alice.welcome, { user_id: 'alice', device_id: 'phone' })

  const lines = [...texts.out.matchAll(/^ {2}grpcurl (.+)$/gm)].map(([, line]) => line ?? '')
  t.equal(lines.length, 2)
  const bearer = /export BEARER=(\S+)/.exec(texts.out)?.[1] ?? ''
  const runLine = (line: string) => run('bash', ['-c', `"$GRPCURL" ${line}`], { env: { ...process.env, GRPCURL: grpcurl, BEARER: bearer }, timeout: 20_000 })
  const [listed, pushed] = await Promise.all(lines.map(runLine))
  t.match(listed?.stdout, /gateway\.v1\.GatewayService/)
  t.match(listed?.stdout, /grpc\.health\.v1\.Health/)
  t.match(JSON.parse(pushed?.stdout ?? ''), { success: true, delivered_count: 1, devices: [{ device_id: 'phone', outcome: 'OUTCOME_ACKED' }] })
  t.match(await alice.next('message'), { sender: 'bob', recipient: 'alice', content: 'Hello from grpcurl', ack_required: true })
  const anonymous = (lines[0] ?? '').replace(/-H "[^"]+" /, '')
  t.not(anonymous, lines[0])
  await t.rejects(runLine(anonymous), 'without the bearer there is no answer')

  const services = /services +(http:\S+)/.exec(texts.out)?.[1] ?? ''
  const [sent, reply] = [await alice.send('bob', 'Hello Bob'), await fetch(`${services}/history?conversation=alice:bob`, { headers: { authorization: `Bearer ${token}` } })]
  t.match(await reply.json(), { messages: [{ msg_id: sent.msgId, sequence_number: 1 }] })

  const commands = [...texts.out.matchAll(/^ {2}npx im-gateway (.+)$/gm)].map(([, line = '']) => line.replace('explain m1', `explain ${sent.msgId}`))
  t.equal(commands.length, 3)
  const [explained, listed2, ended2] = await Promise.all(commands.map((line) => run('sh', ['-c', `node --import tsx bin/im-gateway.ts ${line}`], { cwd: ROOT }).catch((error: unknown) => error)))
  t.match(explained, { stdout: new RegExp(`accepted +${sent.msgId}`) })
  t.match(listed2, { stdout: /alice +phone/ })
  t.match(ended2, { code: 1 }, 'bob is not here')

  child.kill('SIGINT')
  t.match(await alice.closed(15_000), { code: 1012 })
  t.strictSame(await within(ended, 'end', 20_000), { code: 0, signal: null }, texts.err)
})
