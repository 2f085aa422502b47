/** A program beside a test: it is there once it says so, and ends with the test. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Test } from 'tap'
import { eventually } from './bus-conformance.ts'

export interface Program {
  /** The last that it wrote to stdout and stderr. */
  readonly words: string
}

const TOOLS = join(import.meta.dirname, '../../scripts/tools.sh')
/** kube-apiserver is the largest. */
const BUILD_TIMEOUT_MS = 1_800_000
const START_TIMEOUT_MS = 90_000
const MAX_WORDS = 10_000

/** The folder of the tools, once these are in it. */
export function tools (...names: readonly string[]): string {
  return execFileSync('bash', [TOOLS, ...names], { encoding: 'utf8', timeout: BUILD_TIMEOUT_MS, stdio: ['ignore', 'pipe', 'inherit'] }).trim()
}

/** Resolves once `isReady`; rejects with its last words where it ends before. Its input ends with this process. */
export async function startProgram (t: Test, file: string, args: readonly string[], isReady: (program: Program) => boolean | Promise<boolean>, env: Readonly<Record<string, string>> = {}): Promise<Program> {
  const child = spawn(file, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
  const ended = once(child, 'exit')
  const program = { words: '' }
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { program.words = (program.words + text).slice(-MAX_WORDS) })
  const end = (): void => { child.kill('SIGTERM') }
  process.once('exit', end)
  t.teardown(async () => {
    end()
    await ended
    process.removeListener('exit', end)
  })
  await eventually(async () => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${file} ended:\n${program.words}`)
    return await isReady(program)
  }, START_TIMEOUT_MS)
  return program
}
