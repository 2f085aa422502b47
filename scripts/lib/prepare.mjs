/** Brings a fresh clone to where its commands work: installed packages, generated types. Does nothing where all is there. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fail, files, requireNode, root, run } from './project.mjs'

const GENERATED = 'src/generated'
const STAMP = join(root, GENERATED, '.inputs')

/** Installs what package-lock.json says, where that is not what is installed. */
export async function prepareModules () {
  requireNode()
  if (modulesAreCurrent()) return
  process.stderr.write('installing packages: npm ci --ignore-scripts\n')
  // No package of the tree needs its install script: compilers and buf come as optional packages for each platform.
  // On stderr, so that what the command itself prints stays clean.
  const code = await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { onLine: (line) => process.stderr.write(`${line}\n`) })
  if (code !== 0) fail('npm ci failed')
}

/** Writes the gRPC types where they are missing or older than what they are made from. `force` writes them always. */
export async function prepareGenerated ({ force = false } = {}) {
  const inputs = hashOfInputs()
  if (!force && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === inputs) return
  // Beside the old files first: another command of this clone may be reading them.
  const fresh = join(root, `.cache/generate-${process.pid}`)
  const code = await run(process.execPath, [join(root, 'node_modules/@bufbuild/buf/bin/buf'), 'generate', '-o', fresh], { timeoutMs: 120_000 })
  if (code !== 0) fail('buf generate failed')
  writeFileSync(join(fresh, GENERATED, '.inputs'), inputs)
  rmSync(join(root, GENERATED), { recursive: true, force: true })
  renameSync(join(fresh, GENERATED), join(root, GENERATED))
  rmSync(fresh, { recursive: true })
}

export async function prepare () {
  await prepareModules()
  await prepareGenerated()
}

/** By content, not by time: a checkout gives files the times it likes. */
function modulesAreCurrent () {
  const wanted = packagesOf('package-lock.json')
  const installed = packagesOf('node_modules/.package-lock.json')
  if (!wanted || !installed) return false
  return Object.entries(wanted).every(([path, entry]) => path === '' || entry.optional || installed[path]?.version === entry.version)
}

function packagesOf (path) {
  try {
    return JSON.parse(readFileSync(join(root, path), 'utf8')).packages
  } catch {
    return undefined
  }
}

function hashOfInputs () {
  const hash = createHash('sha256')
  for (const path of [...files('proto'), 'buf.gen.yaml', 'node_modules/ts-proto/package.json']) {
    hash.update(path).update('\0').update(readFileSync(join(root, path))).update('\0')
  }
  return hash.digest('hex')
}
