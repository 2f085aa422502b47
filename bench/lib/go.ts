/** Programs in Go, built where they are missing. Both throw, with what to do, where there is no Go that is new enough. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './machine.ts'

const FOLDER = join(ROOT, '.cache/bench/go')
export const CENTRIFUGO_VERSION = 'v6.9.1'
const CENTRIFUGO = `github.com/centrifugal/centrifugo/v6@${CENTRIFUGO_VERSION}`
/** Centrifugo asks for it. */
const OLDEST_MINOR = 26

/** The server on github.com/coder/websocket of bench/peers/go. */
export function goPeer (): string {
  const [source, binary] = [join(ROOT, 'bench/peers/go'), join(FOLDER, 'coder-websocket')]
  if (!existsSync(binary) || statSync(binary).mtimeMs < statSync(join(source, 'main.go')).mtimeMs) go(['build', '-o', binary, '.'], source)
  return binary
}

export function centrifugo (): string {
  const binary = join(FOLDER, 'centrifugo')
  if (!existsSync(binary)) go(['install', CENTRIFUGO], FOLDER)
  return binary
}

function go (args: readonly string[], folder: string): void {
  mkdirSync(FOLDER, { recursive: true })
  const [, minor = '0'] = /^go1\.(\d+)/.exec(goVersion()) ?? []
  if (Number(minor) < OLDEST_MINOR) throw new Error(`Go 1.${OLDEST_MINOR} or later is needed for this row (https://go.dev/dl), this is ${goVersion()}`)
  execFileSync('go', args, { cwd: folder, stdio: 'inherit', env: { ...process.env, GOBIN: FOLDER } })
}

/** As Go says it, `go1.26.8`. */
export function goVersion (): string {
  try {
    return execFileSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' }).trim()
  } catch {
    return 'no Go at all'
  }
}
