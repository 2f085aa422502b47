import t from 'tap'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

interface Case { readonly path: string, readonly text: string, readonly expected: RegExp | undefined }

/** Texts that stand for files of the product, by the sentence that they show. */
const sentences = new Map<string, Case[]>()
let cases: Case[] = []

function sentence (name: string): void {
  cases = []
  sentences.set(name, cases)
}

function refused (path: string, text: string, expected: RegExp): void { cases.push({ path, text, expected }) }
function accepted (path: string, text: string): void { cases.push({ path, text, expected: undefined }) }

sentence('The core may not import a library with I/O, not even its types, whatever the form of the import')
for (const library of ['fastify', 'fastify-plugin', '@fastify/jwt', '@fastify/websocket', 'ws', '@grpc/grpc-js', 'kafkajs', 'etcd3', 'ioredis', 'prom-client']) {
  refused('src/delivery/bad.ts', `import x from '${library}'\n\nx()\n`, /house\/direction: src\/ may not import/)
}
refused('src/bad.ts', "import type { FastifyInstance } from 'fastify'\n\nexport type X = FastifyInstance\n", /may not import fastify/)
refused('src/bad.ts', "export type X = import('ws').WebSocket\n", /may not import ws/)
refused('src/bad.ts', "export * from 'kafkajs'\n", /may not import kafkajs/)
refused('src/bad.ts', "export { Kafka } from 'kafkajs'\n", /may not import kafkajs/)
refused('src/bad.ts', "export const x = await import('etcd3')\n", /may not import etcd3/)
refused('src/bad.ts', "export const x = await import('etcd' + '3')\n", /computed/)
refused('src/bad.ts', "import { Redis } from 'ioredis/built/Redis.js'\n\nexport const x = Redis\n", /may not import ioredis/)
refused('src/bad.ts', "import { connect } from 'node:net'\n\nexport const x = connect\n", /may not import node:net/)
refused('src/bad.ts', "import { setTimeout } from 'node:timers/promises'\n\nexport const x = setTimeout\n", /may not import node:timers/)

sentence('Each root refuses the roots that its direction forbids')
refused('src/groups/bad.ts', "import kafka from '../../plugins/kafka.ts'\n\nkafka()\n", /src\/ may not import plugins\/kafka\.ts/)
refused('src/bad.ts', "import type { X } from '../routes/ws.ts'\n\nexport type Y = X\n", /src\/ may not import routes\/ws\.ts/)
refused('plugins/bad.ts', "import ws from '../routes/ws.ts'\n\nws()\n", /plugins\/ may not import routes\/ws\.ts/)
refused('routes/bad.ts', "import kafka from '../plugins/kafka.ts'\n\nkafka()\n", /routes\/ may not import plugins\/kafka\.ts/)
refused('routes/bad.ts', "import type { X } from '../plugins/lib/x.ts'\n\nexport type Y = X\n", /routes\/ may not import plugins\/lib\/x\.ts/)
refused('routes/bad.ts', "import { Kafka } from 'kafkajs'\n\nexport const x = Kafka\n", /a route reaches the outside world through decorators/)
refused('plugins/bad.ts', "import x from '../test/helpers/fakes.ts'\n\nx()\n", /may not import test\/helpers/)
refused('src/main.ts', "import x from '../demo/world.ts'\n\nx()\n", /may not import demo\/world/)
refused('plugins/lib/bad.ts', "import { build } from '../../src/app.ts'\n\nbuild()\n", /src\/app\.ts puts the program together/)
refused('src/cli.ts', "import { build } from './app.ts'\n\nbuild()\n", /src\/app\.ts puts the program together/)

sentence('What the direction allows passes')
accepted('src/groups/good.ts', "import { createHash } from 'node:crypto'\nimport { isIP } from 'node:net'\nimport { LRUCache } from 'lru-cache'\nimport { ERRORS } from '../errors.ts'\n\nexport const x = [createHash, isIP, LRUCache, ERRORS]\n")
accepted('plugins/good.ts', "import { Kafka } from 'kafkajs'\nimport { ERRORS } from '../src/errors.ts'\nimport { y } from './lib/y.ts'\n\nexport const x = [Kafka, ERRORS, y]\n")
accepted('routes/good.ts', "import type { FastifyInstance } from 'fastify'\nimport { ERRORS } from '../src/errors.ts'\n\nexport const x = (fastify: FastifyInstance) => [fastify, ERRORS]\n")
accepted('src/app.ts', "import fastify from 'fastify'\nimport kafka from '../plugins/kafka.ts'\nimport ws from '../routes/ws.ts'\n\nexport const x = [fastify, kafka, ws]\n")
accepted('src/main.ts', "import { build } from './app.ts'\n\nsetTimeout(() => build(process.env), Date.now())\n")
accepted('test/src/good.test.ts', "import kafka from '../../plugins/kafka.ts'\n\nkafka()\n")

sentence('The client needs no package, and of the gateway two tables alone')
refused('client/src/bad.ts', "import ws from 'ws'\n\nws()\n", /runs in browsers/)
refused('client/src/bad.ts', "import { connect } from 'node:net'\n\nconnect(1)\n", /runs in browsers/)
refused('client/src/bad.ts', "import { ERRORS } from '../../src/errors.ts'\n\nexport const x = ERRORS\n", /shares two tables/)
accepted('client/src/good.ts', "import { CLOSE } from '../../src/protocol/close-codes.ts'\nimport { Seen } from './seen.ts'\n\nexport const x = [CLOSE, Seen]\n")

sentence('The core reads no clock, timer, environment or console of its own')
refused('src/delivery/bad.ts', 'export const x = Date.now()\n', /no-restricted-properties.*ports\.Clock/)
refused('src/delivery/bad.ts', 'export const x = process.env\n', /no-restricted-properties.*options/)
refused('src/delivery/bad.ts', 'export const x = setTimeout(() => {}, 1)\n', /no-restricted-globals.*ports\.Clock/)
refused('src/delivery/bad.ts', 'export const x = setInterval(() => {}, 1)\n', /no-restricted-globals.*ports\.Clock/)
refused('src/delivery/bad.ts', 'export const x = globalThis.setTimeout(() => {}, 1)\n', /no-restricted-properties.*ports\.Clock/)
refused('src/delivery/bad.ts', "console.log('x')\n", /no-restricted-globals|no-console/)
refused('plugins/bad.ts', "console.log('x')\n", /no-console/)
accepted('src/embedded/system-clock.ts', 'export const x = () => setTimeout(() => {}, Date.now())\n')
accepted('plugins/good.ts', 'export const x = setTimeout(() => {}, 1)\n')

sentence('A comment cannot switch a rule off, and a file of the product has 200 lines at most')
refused('src/delivery/bad.ts', "/* eslint-disable */\nimport x from 'ws'\n\nx()\n", /house\/direction/)
refused('plugins/bad.ts', `${'export {}\n'.repeat(201)}`, /max-lines/)

// One process for all: ESLint takes a second to load.
// A linter's coverage is large and nobody's business; left out, Node would hand the variable on all the same.
const env = { ...process.env, NODE_V8_COVERAGE: '' }
const helper = join(import.meta.dirname, '..', 'helpers', 'lint-texts.mjs')
const answers = JSON.parse(execFileSync(process.execPath, [helper], { input: JSON.stringify([...sentences.values()].flat()), encoding: 'utf8', timeout: 30_000, env })) as string[][]

for (const [name, cases] of sentences) {
  t.test(name, async (t) => {
    for (const { path, text, expected } of cases) {
      const found = answers.shift() ?? []
      const title = `${path}: ${text.trim().slice(0, 80)}`
      if (expected === undefined) t.same(found, [], title)
      else t.ok(found.some((message) => expected.test(message)) && !found.some((message) => message.startsWith('parser')), title, { found })
    }
  })
}
