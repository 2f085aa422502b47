import { pino } from 'pino'
import t, { type Test } from 'tap'
import { DemoClient, within } from '../../demo/client.ts'
import type { LiveState } from '../../demo/live-state.ts'
import { buildPage } from '../../demo/page-assets.ts'
import { PageServer } from '../../demo/page-server.ts'
import type { World } from '../../demo/world.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { startEmbeddedWorld } from '../helpers/embedded-world.ts'

t.setTimeout(50_000)

const PATIENCE_MS = 20_000
const ENV = { REGISTRY_TTL: '2s', REGISTRY_RENEW_INTERVAL: '500ms', DRAIN_TIMEOUT: '5s', MAX_EVENT_LOOP_DELAY: '10s' }

async function startPage (t: Test) {
  const page = new PageServer({ assets: await buildPage(), clock: systemClock, logger: pino({ level: 'silent' }), restartDelayMs: 600 })
  const world = await startEmbeddedWorld(t, { gatewayEnv: ENV, watch: page.watch, extend: page.mount.bind(page) })
  t.teardown(() => page.nodes.close())
  for (const name of ['a', 'b']) page.nodes.add(await world.startGateway(name))
  return { world, page }
}

/** Through the page's own way, as its clients come. */
async function connect (world: World, user: string): Promise<DemoClient> {
  world.users.addUser(user)
  return await DemoClient.connect({ url: `${world.httpUrl.replace('http', 'ws')}/ws/${user}`, token: world.auth.mint(user, 'page').accessToken })
}

/** What the page is told. */
async function listen (t: Test, world: World) {
  const response = await fetch(`${world.httpUrl}/events`)
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  if (reader === undefined) throw new Error('there is no body')
  t.teardown(() => reader.cancel())
  let rest = ''
  const told: Array<{ readonly event: string, readonly data: unknown }> = []
  const until = async <T>(find: () => T | undefined): Promise<T> => {
    for (;;) {
      const found = find()
      if (found !== undefined) return found
      const { value, done } = await within(reader.read(), 'news', PATIENCE_MS)
      if (done) throw new Error('the events have ended')
      rest += value
      for (let end = rest.indexOf('\n\n'); end !== -1; end = rest.indexOf('\n\n')) {
        const [, event = '', data = ''] = /^event: (.+)\ndata: (.+)$/.exec(rest.slice(0, end)) ?? []
        told.push({ event, data: JSON.parse(data) })
        rest = rest.slice(end + 2)
      }
    }
  }
  return {
    state: (isIt: (state: LiveState) => boolean): Promise<LiveState> => until(() => {
      const last = told.findLast(({ event }) => event === 'state')?.data as LiveState | undefined
      return last !== undefined && isIt(last) ? last : undefined
    }),
    /** At some time: it may have passed by now. */
    stateOnce: (isIt: (state: LiveState) => boolean): Promise<unknown> => until(() => told.find(({ event, data }) => event === 'state' && isIt(data as LiveState))),
    delivered: (msgId: string): Promise<unknown> => until(() => told.find(({ event, data }) => event === 'delivered' && (data as { msg_id: string }).msg_id === msgId)?.data)
  }
}

async function put (world: World, path: string, body: object): Promise<number> {
  const { status } = await fetch(world.httpUrl + path, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  return status
}

t.test('the page and what belongs to it come from the demo alone, under a policy that allows nothing else', async (t) => {
  const { world } = await startPage(t)
  const answers = await Promise.all(['/', '/page.js', '/page.css', '/icon.svg'].map(async (path) => {
    const response = await fetch(world.httpUrl + path)
    return { status: response.status, type: response.headers.get('content-type'), policy: response.headers.get('content-security-policy'), body: await response.text() }
  }))
  t.match(answers, [{ type: /^text\/html/ }, { type: /^text\/javascript/ }, { type: /^text\/css/ }, { type: 'image/svg+xml' }])
  for (const { status, policy } of answers) {
    t.equal(status, 200)
    t.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/)
    t.notMatch(policy, /unsafe|\*|data:/)
  }
  const [html, script] = answers.map(({ body }) => body)
  t.match(html, '<script type="module" src="/page.js"></script>')
  t.notMatch(html, /<script(?![^>]*src=)|<style|\son\w+=|style=|https?:/, 'nothing inline, nothing from elsewhere')
  t.ok((script ?? '').length > 50_000, 'with the client and the charts in it')
})

t.test('the page hears who is where and what was delivered, and its faults befall whom they should', async (t) => {
  const { world } = await startPage(t)
  world.users.createGroup('group_two', ['alice', 'bob'])
  const live = await listen(t, world)
  const [alice, bob] = [await connect(world, 'alice'), await connect(world, 'bob')]
  t.not(alice.welcome['node_id'], bob.welcome['node_id'], 'each went to the node that had the fewest')
  const { nodes, devices, groups } = await live.state(({ devices }) => devices.length === 2)
  t.match(nodes, [{ id: 'a', state: 'up' }, { id: 'b', state: 'up' }])
  t.strictSame(new Set(devices.map(({ user, node }) => `${user} ${node}`)), new Set([`alice ${String(alice.welcome['node_id'])}`, `bob ${String(bob.welcome['node_id'])}`]))
  t.strictSame(groups, [{ id: 'group_two', members: ['alice', 'bob'] }])

  const { msgId } = await alice.send('bob', 'Hello')
  t.strictSame(await live.delivered(msgId), { msg_id: msgId, sender: 'alice', recipient: 'bob' })

  t.equal(await put(world, '/people/bob', { fault: 'slow' }), 204)
  await live.state(({ slow }) => slow.includes('bob'))
  t.equal(await put(world, '/people/bob', { fault: 'none' }), 204)
  await live.state(({ slow }) => slow.length === 0)
  t.equal(await put(world, '/people/bob', { fault: 'cut' }), 204)
  t.match(await bob.closed(), { code: 1006 })
  t.equal(alice.isOpen, true)
  await live.state(({ devices }) => devices.length === 1)
  t.equal(await put(world, '/people/bob', { fault: 'poison' }), 400)
})

t.test('a node is killed, another one drained, each starts again; what is not up cannot be ended', async (t) => {
  const { world, page } = await startPage(t)
  const live = await listen(t, world)
  const alice = await connect(world, 'alice')
  const node = String(alice.welcome['node_id'])
  const allServe = (): boolean => page.nodes.serving.length === 2
  t.equal(await put(world, `/nodes/${node}`, { fault: 'kill' }), 204)
  t.equal(await put(world, `/nodes/${node}`, { fault: 'drain' }), 409)
  t.match(await alice.closed(), { code: 1006 })
  const again = await connect(world, 'alice')
  const other = String(again.welcome['node_id'])
  t.not(other, node)
  await live.stateOnce(({ nodes }) => nodes.some(({ id, state }) => id === node && state !== 'up'))
  await eventually(allServe, PATIENCE_MS)
  t.equal(await put(world, `/nodes/${other}`, { fault: 'drain' }), 204)
  t.match(await again.next('shutdown'), { reconnect_after_ms: Number })
  t.match(await again.closed(PATIENCE_MS), { code: 1012 })
  await eventually(allServe, PATIENCE_MS)
  t.equal(await put(world, '/nodes/c', { fault: 'kill' }), 409)
})

t.test('the end of the demo ends what the page holds open', async (t) => {
  const { world, page } = await startPage(t)
  const { socket } = await connect(world, 'alice').then((client) => ({ socket: client.closed(PATIENCE_MS) }))
  const events = await fetch(`${world.httpUrl}/events`)
  const read = events.text().catch(() => 'broken off')
  await page.nodes.close()
  await within(world.close(), 'end', PATIENCE_MS)
  t.match(await socket, { code: 1012 })
  t.match(await read, /broken off|event: state/)
})
