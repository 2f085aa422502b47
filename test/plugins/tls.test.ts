/** The public port under TLS, with real clients: who is let in, and what a renewed certificate changes. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { renameSync, writeFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import WebSocket from 'ws'
import t, { type Test } from 'tap'
import { CHECK_INTERVAL_MS } from '../../plugins/tls.ts'
import { startApp, tokenFor } from '../helpers/app.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { createAuthority } from '../helpers/certificates.ts'
import { FakeRegistry } from '../helpers/connections.ts'
import { startEdge } from '../helpers/edge.ts'
import { HeldIm } from '../helpers/fake-im.ts'
import { ManualClock } from '../helpers/manual-clock.ts'

const PATIENCE_MS = 5_000
const authority = createAuthority()
t.teardown(() => { authority.remove() })
const [first, second] = [authority.sign('IP:127.0.0.1,DNS:first.test'), authority.sign('IP:127.0.0.1,DNS:second.test')]

/** A session over TLS, once it is welcomed; its frames. */
async function open (t: Test, port: number, token: string) {
  const socket = new WebSocket(`wss://127.0.0.1:${port}/ws`, 'im.v1.json', { ca: authority.ca, headers: { authorization: `Bearer ${token}` } })
  t.teardown(() => { socket.terminate() })
  const frames: { type: string }[] = []
  socket.on('message', (data) => { frames.push(JSON.parse(String(data)) as { type: string }) })
  await eventually(() => frames.length > 0, PATIENCE_MS)
  return { socket, frames }
}

t.test('a client that speaks TLS is served, one that does not is not; a peer that never shakes hands is cut off', async (t) => {
  const folder = t.testdir({ 'tls.pem': `${first.cert}\n`, 'tls.key': first.key })
  const node = await startApp(t, { WS_TLS_CERT_FILE: join(folder, 'tls.pem'), WS_TLS_KEY_FILE: join(folder, 'tls.key') })
  const { socket, frames } = await open(t, node.port, tokenFor('ann'))
  socket.send(JSON.stringify({ type: 'send_msg', msg_id: 'm1', recipient: 'bob', content: 'hi', timestamp: 1 }))
  await eventually(() => frames.some(({ type }) => type === 'ack'), PATIENCE_MS)
  t.match(frames, [{ type: 'welcome', user_id: 'ann' }, { type: 'ack', msg_id: 'm1' }])

  const healthCheck = async (env: Record<string, string>): Promise<unknown> => {
    const [code] = await once(spawn(process.execPath, ['scripts/healthcheck.mjs'], { env: { ...env, WS_PORT: String(node.port) } }), 'close')
    return code
  }
  t.same(await Promise.all([healthCheck({ WS_TLS_CERT_FILE: 'tls.pem' }), healthCheck({})]), [0, 1], 'the health check of the image')
  const silent = connectTcp(node.port, '127.0.0.1').on('error', () => {})
  const closed = once(silent, 'close', { signal: AbortSignal.timeout(8_000) })
  await t.rejects(fetch(`http://127.0.0.1:${node.port}/healthz`), 'plain HTTP')
  const older = connectTls({ port: node.port, host: '127.0.0.1', ca: authority.ca, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' })
  await t.rejects(once(older, 'secureConnect'), 'an old version of TLS')
  socket.close(1000)
  t.equal((await once(socket, 'close') as [number])[0], 1000)
  await closed
})

t.test('a renewed certificate is for new connections, live ones go on; one that does not fit is told and tried again', async (t) => {
  const folder = t.testdir({ 'tls.pem': first.cert, 'tls.key': first.key })
  const files = { cert: join(folder, 'tls.pem'), key: join(folder, 'tls.key') }
  const clock = new ManualClock()
  const { app, port } = await startEdge({ registry: new FakeRegistry(), im: new HeldIm(), tls: { ...first, files, clock } })
  t.teardown(() => app.close())
  const replace = (path: string, text: string): void => {
    writeFileSync(`${path}.new`, text)
    renameSync(`${path}.new`, path)
  }
  const shown = async (): Promise<string | undefined> => {
    const socket = connectTls({ port, host: '127.0.0.1', ca: authority.ca })
    await once(socket, 'secureConnect')
    const { subjectaltname: names } = socket.getPeerCertificate()
    socket.destroy()
    return names
  }
  const renewals = async (result: string): Promise<number> => Number(new RegExp(`certificate_renewals_total\\{result="${result}"\\} (\\d+)`).exec(await app.metrics.expose())?.[1] ?? 0)

  const live = await open(t, port, 'ann/phone')
  t.match(await shown(), /first\.test/)
  replace(files.cert, second.cert)
  clock.advance(CHECK_INTERVAL_MS)
  await eventually(async () => await renewals('refused') === 1, PATIENCE_MS)
  t.match(await shown(), /first\.test/, 'a certificate without its key')

  replace(files.key, second.key)
  t.match(await shown(), /first\.test/, 'before they are looked at again')
  clock.advance(CHECK_INTERVAL_MS)
  await eventually(async () => await renewals('taken') === 1, PATIENCE_MS)
  t.match(await shown(), /second\.test/)
  replace(files.key, 'no key at all')
  clock.advance(CHECK_INTERVAL_MS)
  await eventually(async () => await renewals('refused') === 2, PATIENCE_MS)
  t.match(await shown(), /second\.test/)

  const before = live.frames.length
  live.socket.send(JSON.stringify({ type: 'heartbeat' }))
  await eventually(() => live.frames.length > before, PATIENCE_MS)
  t.equal(live.frames.at(-1)?.type, 'heartbeat')
  await app.close()
  t.equal(clock.pendingTimers, 0)
})
