/** What every script needs: where the project is, and how to run a command with a deadline. Node builtins only. */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'

export const root = join(import.meta.dirname, '..', '..')

/** The oldest Node that the project runs on, as in `engines` of package.json. */
const OLDEST_NODE = [20, 19]

/** Ends the process with a sentence on stderr. */
export function fail (text, code = 1) {
  process.stderr.write(`${text}\n`)
  process.exit(code)
}

export function requireNode () {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
    fail(`Node ${OLDEST_NODE.join('.')} or later is needed, this is ${process.versions.node}`)
  }
}

/** The environment of a child: the project's own binaries come first, and the Node that runs us runs it. */
export function environment (extra = {}) {
  const path = [join(root, 'node_modules', '.bin'), process.env.PATH ?? ''].join(delimiter)
  return { ...process.env, PATH: path, ...extra }
}

/**
 * Runs a command in the project's folder with our own output, and resolves to its exit code (124 past `timeoutMs`, and
 * 127 where it cannot be started). `onLine` gets its stdout line by line instead.
 */
export function run (command, args, { env = {}, timeoutMs = 600_000, onLine } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, env: environment(env), stdio: ['ignore', onLine ? 'pipe' : 'inherit', 'inherit'] })
    let late = false
    const timer = setTimeout(() => {
      late = true
      child.kill('SIGTERM')
      setTimeout(() => child.kill('SIGKILL'), 5_000).unref()
    }, timeoutMs)
    if (onLine) eachLine(child.stdout, onLine)
    child.on('error', (error) => {
      clearTimeout(timer)
      process.stderr.write(`${command}: ${error.message}\n`)
      resolve(127)
    })
    child.on('close', (code) => {
      clearTimeout(timer)
      if (late) process.stderr.write(`${command}: ended after ${timeoutMs / 1000} s\n`)
      resolve(late ? 124 : code ?? 1)
    })
  })
}

function eachLine (stream, onLine) {
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (text) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop()
    for (const line of lines) onLine(line)
  })
  stream.on('end', () => { if (rest !== '') onLine(rest) })
}

/** Files below a folder of the project, as sorted paths from the project's folder with `/`; none where it is missing. */
export function files (folder, accept = () => true) {
  let entries
  try {
    entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
  } catch (error) {
    if (error.code === 'ENOENT') return []
    throw error
  }
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length + 1).replaceAll('\\', '/'))
    .filter(accept)
    .sort()
}
