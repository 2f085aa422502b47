/** `npm run demo`: the gateway and what stands around it, to try out. */
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { ConfigError } from '../src/config.ts'
import { systemClock } from '../src/embedded/system-clock.ts'
import { within } from './client.ts'
import type { Gateway } from './gateway.ts'
import { openEmbedded } from './outside-embedded.ts'
import { MissingAddressError, openReal } from './outside-real.ts'
import { buildPage } from './page-assets.ts'
import { PageServer } from './page-server.ts'
import { playStory, STORY_ENV } from './story.ts'
import { welcomeText } from './welcome-text.ts'
import { World } from './world.ts'

const USAGE = `Usage: npm run demo [-- OPTION...]

  --once    play the story, check every step, exit 1 on the first that fails
  --real    on real services: ETCD_ENDPOINTS, REDIS_ADDR, KAFKA_BROKERS, MYSQL_URL
  --nodes N gateways, 1 to 9; default 3, of the story 1. With three or more the story kills and drains some
  --help    this text

Without --once the demo stays up and serves a chat page on DEMO_PORT (8081); WS_PORT (8080), GRPC_PORT (9093),
ADMIN_PORT (9190, of each further node the next); LOG_LEVEL (warn).
`
const TOKEN_TTL_MS = 3_600_000
const STORY_TOKEN_TTL_MS = 300_000
const CLOSE_TIMEOUT_MS = 15_000
const EXIT_USAGE = 64
const MAX_NODES = 9
const NODES = 3
/** What a node that was killed had registered is gone in seconds, and it starts again under its name; a drain lasts long enough to be seen. */
const PAGE_ENV = { REGISTRY_TTL: '6s', REGISTRY_RENEW_INTERVAL: '2s', DRAIN_DELAY: '1s', DRAIN_TIMEOUT: '10s' }
const PORTS_HINT = '\nDoes another demo run? Other ports: WS_PORT, GRPC_PORT, ADMIN_PORT, DEMO_PORT'

const options = readArguments()
if (options !== undefined) process.exitCode = await run(options)

async function run ({ once, real, nodes }: Arguments): Promise<number> {
  const level = process.env['LOG_LEVEL'] ?? (once ? 'silent' : 'warn')
  const logger = pino({ level, name: 'demo' }, pino.destination(2))
  // Names differ from run to run, for real services remember the earlier ones.
  const name = randomBytes(4).toString('hex')
  let world: World | undefined
  let page: PageServer | undefined
  try {
    if (!once) page = new PageServer({ assets: await buildPage(), clock: systemClock, logger })
    const outside = real ? await openReal(process.env, systemClock, logger) : openEmbedded(systemClock, logger)
    const tokenTtlMs = once ? STORY_TOKEN_TTL_MS : TOKEN_TTL_MS
    world = await World.start({
      outside,
      clock: systemClock,
      logger,
      accessTokenTtlMs: tokenTtlMs,
      refreshTokenTtlMs: 24 * TOKEN_TTL_MS,
      processes: real && nodes > 1,
      httpPort: once ? 0 : port('DEMO_PORT', 8081),
      gatewayEnv: once ? STORY_ENV : PAGE_ENV,
      ...(page === undefined ? {} : { watch: page.watch, extend: page.mount.bind(page) })
    })
    await world.im.recover()
    const firstAdmin = port('ADMIN_PORT', 9190)
    const adminOf = (node: number): number => firstAdmin === 0 ? 0 : firstAdmin + node - 1
    const gateway = await world.startGateway(`demo-${name}-1`, once ? undefined : { ws: port('WS_PORT', 8080), grpc: port('GRPC_PORT', 9093), admin: adminOf(1) })
    const others: Gateway[] = []
    for (let node = 2; node <= nodes; node++) others.push(await world.startGateway(`demo-${name}-${node}`, once ? undefined : { ws: 0, grpc: 0, admin: adminOf(node) }))
    if (once) return await playStory(world, [gateway, ...others], name, (line) => { process.stdout.write(`${line}\n`) }) ? 0 : 1
    for (const each of [gateway, ...others]) page?.nodes.add(each)
    const interrupted = new Promise((resolve) => { process.once('SIGINT', resolve).once('SIGTERM', resolve) })
    process.stdout.write(welcomeText(world, [gateway, ...others], tokenTtlMs))
    await interrupted
    process.stdout.write('closing\n')
    return 0
  } catch (error) {
    if (error instanceof MissingAddressError || error instanceof ConfigError) process.stderr.write(`${error.message}\n`)
    else process.stderr.write(`the demo could not start: ${error instanceof Error ? error.message : String(error)}${isTaken(error) ? PORTS_HINT : ''}\n`)
    return 1
  } finally {
    // A second Ctrl-C finds no handler and ends the process at once.
    if (world !== undefined) await within(closeAll(world, page), 'end', CLOSE_TIMEOUT_MS).catch(() => { process.exit(1) })
  }
}

async function closeAll (world: World, page: PageServer | undefined): Promise<void> {
  await page?.nodes.close()
  await world.close()
}

function isTaken (error: unknown): boolean {
  return error instanceof Error && error.message.includes('EADDRINUSE')
}

function port (name: string, fallback: number): number {
  const value = Number(process.env[name] ?? fallback)
  if (!Number.isInteger(value) || value < 0 || value > 65_535) throw new Error(`${name} is no port`)
  return value
}

interface Arguments { readonly once: boolean, readonly real: boolean, readonly nodes: number }

function readArguments (): Arguments | undefined {
  try {
    const { values } = parseArgs({ options: { once: { type: 'boolean' }, real: { type: 'boolean' }, nodes: { type: 'string' }, help: { type: 'boolean', short: 'h' } } })
    const nodes = Number(values.nodes ?? (values.once === true ? 1 : NODES))
    if (!Number.isInteger(nodes) || nodes < 1 || nodes > MAX_NODES) throw new Error(`--nodes is a number from 1 to ${MAX_NODES}`)
    if (values.help !== true) return { once: values.once === true, real: values.real === true, nodes }
    process.stdout.write(USAGE)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`)
    process.exitCode = EXIT_USAGE
  }
  return undefined
}
