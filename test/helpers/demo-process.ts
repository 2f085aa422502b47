/** The demo as a process. */
import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import type { Test } from 'tap'

const ROOT = join(import.meta.dirname, '..', '..')

interface Ended { readonly code: number | null, readonly signal: NodeJS.Signals | null }

/** The command that `npm run demo` runs, with ports of its own; killed with the test. */
export function demo (t: Test, args: readonly string[], env: Record<string, string | undefined> = {}) {
  const child: ChildProcess = spawn(process.execPath, ['scripts/demo.mjs', ...args], {
    cwd: ROOT, env: { ...process.env, WS_PORT: '0', GRPC_PORT: '0', ADMIN_PORT: '0', DEMO_PORT: '0', ...env }, stdio: ['ignore', 'pipe', 'pipe']
  })
  const texts = { out: '', err: '' }
  const hasPrinted = new Set<() => void>()
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    texts.out += text
    for (const look of hasPrinted) look()
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => { texts.err += text })
  const ended = new Promise<Ended>((resolve) => { child.once('close', (code, signal) => { resolve({ code, signal }) }) })
  t.teardown(() => { child.kill('SIGKILL') })
  const printed = (pattern: RegExp): Promise<void> => Promise.race([
    new Promise<void>((resolve) => {
      const look = (): void => { if (pattern.test(texts.out)) resolve() }
      hasPrinted.add(look)
      look()
    }),
    ended.then(({ code }) => { throw new Error(`the demo ended with ${String(code)}: ${texts.err}`) })
  ])
  return { child, texts, ended, printed }
}
