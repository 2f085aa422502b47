/** What was measured, by version. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CENTRIFUGO_VERSION, goVersion } from './go.ts'
import { ROOT } from './machine.ts'

const PACKAGES = ['ws', 'fastify', '@fastify/websocket', 'socket.io', '@grpc/grpc-js'] as const

export type Versions = Readonly<Record<string, string>>

export function versions (): Versions {
  const [, coder = ''] = /^require github\.com\/coder\/websocket (\S+)$/m.exec(readFileSync(join(ROOT, 'bench/peers/go/go.mod'), 'utf8')) ?? []
  return { node: process.version, ...Object.fromEntries(PACKAGES.map((name) => [name, packageVersion(name)])), centrifugo: CENTRIFUGO_VERSION, 'coder/websocket': coder, go: goVersion() }
}

function packageVersion (name: string): string {
  return (JSON.parse(readFileSync(join(ROOT, 'node_modules', name, 'package.json'), 'utf8')) as { version: string }).version
}
