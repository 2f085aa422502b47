/** The other side of test/security: requests and frames as no honest client sends them, on bare sockets, and what comes back. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { pino, type LoggerOptions } from 'pino'
import type { Test } from 'tap'
import { within } from '../../demo/client.ts'
import { loggingOptions } from '../../src/logging.ts'
import { OPCODE, RawClient } from './raw-client.ts'
import { nodeArgs } from '../../demo/node-args.ts'

/** More than the five seconds that a head may take. */
const PATIENCE_MS = 8_000
const CLOSE_PATIENCE_MS = 3_000
const HEAD_END = '\r\n\r\n'

export interface RequestParts {
  readonly method?: string
  readonly path?: string
  /** As `Authorization: Bearer`. */
  readonly token?: string
  /** Whole header lines. */
  readonly headers?: readonly string[]
}

/** The text of an upgrade request. */
export function upgrade ({ method = 'GET', path = '/ws', token, headers = [] }: RequestParts = {}): string {
  const lines = [
    `${method} ${path} HTTP/1.1`, 'Host: gateway.test', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
    ...(token === undefined ? [] : [`Authorization: Bearer ${token}`]), ...headers
  ]
  return `${lines.join('\r\n')}${HEAD_END}`
}

export interface Answer {
  /** 0: the connection was closed without an answer. */
  readonly status: number
  readonly head: string
  readonly body: string
  /** `error_code` of the body; empty where there is none. */
  readonly code: string
}

/** What comes back for some bytes: at once after a 101, else when the node closes. The socket is gone then. */
export async function ask (port: number, request: string): Promise<Answer> {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1')
  let text = ''
  const answered = new Promise<void>((resolve) => {
    socket.on('data', (chunk: string) => {
      text += chunk
      if (text.startsWith('HTTP/1.1 101 ') && text.includes(HEAD_END)) resolve()
    })
    socket.on('error', () => {}).once('close', () => { resolve() })
  })
  socket.write(request, 'latin1')
  try {
    await within(answered, 'answer', PATIENCE_MS)
  } finally {
    socket.destroy()
  }
  const [head = '', body = ''] = text.split(HEAD_END)
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0), head, body, code: /"error_code":"(\w+)"/.exec(body)?.[1] ?? '' }
}

/** Writes some bytes and keeps the connection, until the test ends. */
export async function hold (t: Test, port: number, bytes = ''): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => { socket.destroy() })
  socket.on('error', () => {})
  await once(socket, 'connect')
  if (bytes !== '') socket.write(bytes)
  return socket
}

/** Resolves when the node has closed the connection, to the milliseconds that it took. */
export async function cutOff (socket: Socket): Promise<number> {
  const at = performance.now()
  socket.resume()
  if (!socket.closed) await within(once(socket, 'close'), 'end of the connection', PATIENCE_MS)
  return performance.now() - at
}

/** Attacks from an open session; resolves to the close code that this has, 1006 where the socket closes without one. */
export async function closeCode (port: number, token: string, attack: (client: RawClient) => void): Promise<number> {
  let code = 1006
  const client = await RawClient.connect({ port, token, onFrame: (_client, opcode, payload) => { if (opcode === OPCODE.close) code = payload.readUInt16BE(0) } })
  try {
    attack(client)
    await within(client.closed, 'end of the session', CLOSE_PATIENCE_MS)
  } finally {
    client.reset()
  }
  return code
}

/** A log of all levels, as the process has it, and its lines. */
export function logLines () {
  const lines: string[] = []
  return { lines, logger: pino(loggingOptions({ level: 'trace', nodeId: 'node-1' }) as LoggerOptions, { write: (line: string) => { lines.push(line) } }) }
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** The process with an app that does as `FAKE` says (fake-app.ts); its output and exit code. */
export function startProcess (t: Test, env: Record<string, string>) {
  const child = spawn(process.execPath, ['--import', './test/helpers/fake-app-hook.mjs', ...nodeArgs('src/main.ts')], {
    cwd: ROOT,
    env: {
      PATH: process.env.PATH, IM_SERVICE_ADDR: 'im:1', USER_SERVICE_ADDR: 'user:1', AUTH_SERVICE_ADDR: 'auth:1', ETCD_ENDPOINTS: 'http://etcd:1', REDIS_ADDR: 'redis:1', KAFKA_BROKERS: 'kafka:1', WS_HOST: '127.0.0.1', WS_PORT: '0', GATEWAY_NODE_ID: 'gw-test', ...env
    },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => { child.kill('SIGKILL') })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { output += chunk.toString() })
  return { child, output: () => output, exit: within(once(child, 'close'), 'exit', 20_000).then(([code]) => code as number) }
}
