/** One gateway as a process of its own: the production entry, so that it can be killed as one. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { adminEnv, untilReady, type Gateway, type Ports } from './gateway.ts'
import type { Directory } from './services/directory.ts'
import { nodeArgs } from './node-args.ts'

export interface GatewayProcessOptions {
  readonly nodeId: string
  readonly ports: Ports
  /** Addresses, credentials and settings. */
  readonly env: Readonly<Record<string, string>>
  readonly directory: Directory
  readonly watch?: ProcessWatch | undefined
}

/** Who wants to know what processes say and how they end. */
export interface ProcessWatch {
  /** Each line on stdout and stderr. */
  readonly onLine?: (nodeId: string, line: string) => void
  /** `how`: the exit code, or the signal that ended it. */
  readonly onEnd?: (nodeId: string, how: string) => void
}

const ROOT = join(import.meta.dirname, '..')
const LISTENING = /^Server listening at http:\/\/127\.0\.0\.1:(\d+)$/
/** Lines that are shown where it does not start. */
const LAST_WORDS = 20

/** Resolves once it lets clients in; rejects with its last words where it ends before. */
export async function startGatewayProcess (options: GatewayProcessOptions): Promise<Gateway> {
  const { nodeId, ports, env, directory, watch } = options
  const child = spawn(process.execPath, nodeArgs('src/main.ts'), {
    cwd: ROOT,
    env: { PATH: process.env['PATH'], ...env, GATEWAY_NODE_ID: nodeId, WS_HOST: '127.0.0.1', WS_PORT: String(ports.ws), GRPC_HOST: '127.0.0.1', GRPC_PORT: String(ports.grpc), ...adminEnv(ports), LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const ended = once(child, 'exit').then(([code, signal]) => String(code ?? signal))
  const killWithUs = (): void => { child.kill('SIGKILL') }
  process.once('exit', killWithUs)
  void ended.then((how) => {
    process.removeListener('exit', killWithUs)
    watch?.onEnd?.(nodeId, how)
  })

  const words: string[] = []
  const say = (line: string): void => {
    watch?.onLine?.(nodeId, line)
    if (words.push(line) > LAST_WORDS) words.shift()
  }
  // The admin server listens before the node's own.
  const heard: number[] = []
  const isAdminFirst = ports.admin !== undefined
  const listening = new Promise<number>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const port = LISTENING.exec(messageIn(line))?.[1]
      if (port !== undefined && heard.push(Number(port)) === (isAdminFirst ? 2 : 1)) resolve(Number(port))
      say(line)
    })
    createInterface({ input: child.stderr }).on('line', say)
  })
  const died = ended.then((how) => { throw new Error(`${nodeId} ended with ${how}:\n${words.join('\n')}`) })
  died.catch(() => {})
  try {
    const port = await Promise.race([listening, died])
    await Promise.race([untilReady(`http://127.0.0.1:${port}/readyz`), died])
    const grpc = await directory.gateway(nodeId)
    if (grpc === undefined) throw new Error(`${nodeId} is not in the registry`)
    return {
      nodeId,
      url: `ws://127.0.0.1:${port}/ws`,
      port,
      grpc,
      admin: isAdminFirst ? heard[0] : undefined,
      pid: child.pid,
      close: async () => {
        child.kill('SIGTERM')
        const how = await ended
        if (how !== '0') throw new Error(`${nodeId} ended with ${how}`)
      },
      kill: async () => {
        child.kill('SIGKILL')
        await ended
      }
    }
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
}

function messageIn (line: string): string {
  try {
    return String((JSON.parse(line) as { msg?: unknown }).msg)
  } catch {
    return ''
  }
}
