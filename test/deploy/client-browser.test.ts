/** The client in a real browser, against a real gateway: what its README promises of pages. */
import Fastify from 'fastify'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { DemoClient } from '../../demo/client.ts'
import { EdgeProxy } from '../../demo/edge-proxy.ts'
import { portOf } from '../../demo/gateway.ts'
import { bundleClient } from '../../scripts/lib/client-bundle.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import type { PushMessageResponse } from '../../src/generated/gateway/v1/gateway.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { startChromium } from '../helpers/chromium.ts'
import { startEmbeddedWorld } from '../helpers/embedded-world.ts'

t.setTimeout(280_000)

const PATIENCE_MS = 20_000
const COUNT = 20

/** A page of nobody's with the built client in it; the way to the gateway can be cut. */
async function startPage (t: Test) {
  const pushes = new Map<string, PushMessageResponse | undefined>()
  const world = await startEmbeddedWorld(t, {
    gatewayEnv: { MAX_EVENT_LOOP_DELAY: '10s' },
    watch: { onPush: ({ msgId }, response) => { pushes.set(msgId, response) } }
  })
  const gateway = await world.startGateway('browser')
  for (const user of ['alice', 'bob']) world.users.addUser(user)

  const proxy = new EdgeProxy({ nodes: () => [gateway], clock: systemClock })
  const { code } = await bundleClient()
  const http = Fastify({ forceCloseConnections: true })
  http.get('/', async (_, reply) => await reply.type('text/html').send('<!doctype html><title>client</title>'))
  http.get('/client.js', async (_, reply) => await reply.type('text/javascript').send(code))
  http.get('/token', () => world.auth.mint('alice', 'browser').accessToken)
  http.get<{ Querystring: { readonly after: string } }>('/history', async ({ query: { after } }) => {
    const headers = { authorization: `Bearer ${world.auth.mint('alice', 'browser').accessToken}` }
    const response = await fetch(`${world.httpUrl}/history?conversation=alice:bob&after=${after}`, { headers })
    return await response.json()
  })
  http.addHook('preClose', async () => { proxy.close() })
  proxy.attach(http.server)
  await http.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => http.close())

  const browser = await startChromium(t)
  const page = await browser.newPage()
  await page.goto(`http://127.0.0.1:${portOf(http)}/`)
  const bob = await DemoClient.connect({ url: gateway.url, token: world.auth.mint('bob', 'phone').accessToken })
  return { world, gateway, proxy, page, bob, pushes }
}

/** What runs in the page is text: it has the browser's types, not ours. */
async function startClient (page: Page): Promise<void> {
  await page.evaluate(`import('/client.js').then(({ ImClient }) => {
    const heard = window.heard = [], states = window.states = [], receipts = window.receipts = []
    window.client = new ImClient({
      url: location.origin.replace('http', 'ws') + '/ws/alice',
      token: () => fetch('/token').then((response) => response.text()),
      history: async (peer, after) => {
        const { messages } = await fetch('/history?after=' + after).then((response) => response.json())
        return messages.map(({ msg_id, sequence_number, ...message }) => ({ ...message, msgId: msg_id, sequenceNumber: sequence_number }))
      },
      onMessage: ({ sender, content }) => { heard.push(sender + ': ' + content) },
      onReceipt: ({ msgId }) => { receipts.push(msgId) },
      onState: (state) => { states.push(state) }
    })
    window.client.start()
  })`)
}

function until (page: Page, isSo: string): Promise<unknown> {
  return page.waitForFunction(isSo, undefined, { timeout: PATIENCE_MS })
}

t.test('in a real browser the client connects, sends, acknowledges, comes back after a cut, and keeps the order', async (t) => {
  const { proxy, page, bob, pushes } = await startPage(t)
  await startClient(page)
  await until(page, "client.state === 'open'")
  t.strictSame(await page.evaluate('states'), ['connecting', 'open'])

  const sent = await page.evaluate("client.send('bob', 'Hello from a browser 👋')") as { readonly msgId: string, readonly sequenceNumber: number }
  t.equal(sent.sequenceNumber, 1)
  t.match(await bob.message(sent.msgId), { sender: 'alice', content: 'Hello from a browser 👋' })

  const answer = await bob.send('alice', 'Hello')
  await until(page, 'heard.length === 1')
  await eventually(async () => pushes.get(answer.msgId)?.success === true, PATIENCE_MS)

  t.equal(proxy.cut('alice'), 1)
  // Said while it is away: by both sides.
  const waiting = page.evaluate(`Promise.all(Array.from({ length: ${COUNT} }, (_, i) => client.send('bob', 'a' + i))).then((all) => all.length)`)
  for (let i = 0; i < COUNT; i++) await bob.send('alice', `b${i}`)
  t.equal(await waiting, COUNT)
  await until(page, `client.sessions === 2 && heard.length === ${COUNT + 1}`)
  t.strictSame(await page.evaluate('heard'), ['bob: Hello', ...Array.from({ length: COUNT }, (_, i) => `bob: b${i}`)], 'each once, in order')
  await eventually(async () => bob.frames.filter(({ type, content }) => type === 'message' && String(content).startsWith('a')).length === COUNT, PATIENCE_MS)
  t.strictSame(bob.frames.flatMap(({ type, content }) => type === 'message' ? content : []), ['Hello from a browser 👋', ...Array.from({ length: COUNT }, (_, i) => `a${i}`)])
  t.match(await page.evaluate('states'), ['connecting', 'open', 'waiting', 'connecting', 'open'])

  await page.evaluate('client.close()')
  t.strictSame(await page.evaluate('[client.state, client.waiting]'), ['ended', 0])
})

t.test('in a real browser a refusal and a lost token end as the README says', async (t) => {
  const { world, page } = await startPage(t)
  await startClient(page)
  await until(page, "client.state === 'open'")
  t.equal(await page.evaluate("client.send('nobody', 'Hello?').catch((error) => error.name + ' ' + error.code)"), 'SendError RECIPIENT_NOT_FOUND')
  await world.auth.revoke('alice')
  await until(page, "client.state === 'ended'")
})
