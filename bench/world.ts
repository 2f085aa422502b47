/** What stands around the node that is measured: its process, the services it calls, and many clients. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { FakeServices } from '../test/helpers/fake-services.ts'
import { OPCODE, RawClient } from '../test/helpers/raw-client.ts'
import { signToken } from '../test/helpers/tokens.ts'
import type { Command, Usage } from './node.ts'

export const SECRET = 'a secret of the benchmarks, 32 bytes or more'
const CONNECTS_AT_ONCE = 200

export class BenchNode {
  readonly services: FakeServices
  readonly port: number
  readonly #child: ChildProcess
  readonly #ended: Promise<never>

  private constructor (services: FakeServices, child: ChildProcess, ended: Promise<never>, port: number) {
    this.services = services
    this.#child = child
    this.#ended = ended
    this.port = port
  }

  static async start (prepare: (services: FakeServices) => void = () => {}): Promise<BenchNode> {
    const services = await new FakeServices().start()
    prepare(services)
    const script = fileURLToPath(new URL('node.ts', import.meta.url))
    const child = spawn(process.execPath, ['--expose-gc', '--import', 'tsx', script, services.address], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    const ended = once(child, 'exit').then(() => { throw new Error('the node ended') })
    ended.catch(() => {})
    return new BenchNode(services, child, ended, await Promise.race([answerOf(child), ended]) as number)
  }

  async usage (): Promise<Usage> { return await this.#ask({ do: 'usage' }) as Usage }
  async groupMessages (groupId: string, count: number): Promise<void> { await this.#ask({ do: 'groupMessages', groupId, count }) }
  async naive (groupId: string, count: number): Promise<void> { await this.#ask({ do: 'naive', groupId, count }) }

  async #ask (command: Command): Promise<unknown> {
    const answer = answerOf(this.#child)
    this.#child.send(command)
    return await Promise.race([answer, this.#ended])
  }

  /** Users `u0`, `u1` … with one device each; `onText` for every text frame after the welcome. */
  async connect (count: number, from = 0, onText: (client: RawClient) => void = () => {}): Promise<RawClient[]> {
    const clients: RawClient[] = []
    const exp = Math.floor(Date.now() / 1000) + 3_600
    while (clients.length < count) {
      const batch = Array.from({ length: Math.min(CONNECTS_AT_ONCE, count - clients.length) }, (_, index) => {
        const token = signToken({ sub: `u${from + clients.length + index}`, device_id: 'phone', exp }, SECRET)
        let welcomed = false
        return RawClient.connect({
          port: this.port,
          token,
          onFrame: (client, opcode) => {
            if (opcode === OPCODE.ping) client.write(OPCODE.pong)
            if (opcode !== OPCODE.text) return
            if (welcomed) onText(client)
            welcomed = true
          }
        })
      })
      clients.push(...await Promise.all(batch))
    }
    return clients
  }

  async stop (): Promise<void> {
    this.#child.kill()
    await this.#ended.catch(() => {})
    this.services.stop()
  }
}

/** Resolves once `step` was called so often. */
export function countdown (count: number): { readonly done: Promise<void>, readonly step: () => void } {
  let left = count
  let finish = (): void => {}
  const done = new Promise<void>((resolve) => { finish = resolve })
  return { done, step: () => { if (--left === 0) finish() } }
}

async function answerOf (child: ChildProcess): Promise<unknown> {
  const [answer] = await once(child, 'message') as [unknown]
  return answer
}
