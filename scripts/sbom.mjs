/**
 * `npm run sbom [-- FILE]`: what a running gateway is made of, by package-lock.json, as CycloneDX 1.5 in JSON
 * (default: .cache/sbom.cdx.json). Fails, with their names, where production packages have licences that are not on the list below.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fail, root, run } from './lib/project.mjs'

/** SPDX identifiers. Of an expression every part has to be here, also where it leaves the choice. */
const LICENCES = new Set(['0BSD', 'Apache-2.0', 'BlueOak-1.0.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT'])
const OPERATORS = new Set(['AND', 'OR', 'WITH'])
const DEVELOPMENT = 'cdx:npm:package:development'

const path = resolve(process.argv[2] ?? join(root, '.cache/sbom.cdx.json'))
const bom = production(await everything())
const refused = bom.components.filter(({ licenses }) => !isAllowed(licenses)).map((component) => `${component['bom-ref']}: ${namesOf(component.licenses).join(' ') || 'none'}`)
if (refused.length > 0) fail(`licences that nobody has allowed:\n${refused.join('\n')}`)
mkdirSync(dirname(path), { recursive: true })
writeFileSync(path, `${JSON.stringify(bom, null, 2)}\n`)
process.stdout.write(`${path}: ${bom.components.length} packages\n`)

async function everything () {
  const lines = []
  const args = ['sbom', '--sbom-format=cyclonedx', '--sbom-type=application', '--package-lock-only', '--workspaces=false']
  const code = await run('npm', args, { timeoutMs: 60_000, onLine: (line) => lines.push(line) })
  if (code !== 0) fail('npm sbom failed')
  return JSON.parse(lines.join('\n'))
}

/** Without the tools. npm's own `--omit=dev` leaves out as well what a tool and the gateway both need (npm 11.19: ws, semver and 17 more). */
function production (bom) {
  const components = bom.components.filter(({ properties }) => !properties.some(({ name }) => name === DEVELOPMENT))
  const { name } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  // npm takes the folder's name.
  const component = { ...bom.metadata.component, name }
  const refs = new Set([component, ...components].map((each) => each['bom-ref']))
  const dependencies = bom.dependencies.filter(({ ref }) => refs.has(ref)).map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((each) => refs.has(each)) }))
  return { ...bom, metadata: { ...bom.metadata, component }, components, dependencies }
}

function isAllowed (licenses = []) {
  const parts = namesOf(licenses).flatMap((name) => name.match(/[\w.+-]+/g) ?? []).filter((part) => !OPERATORS.has(part))
  return parts.length > 0 && parts.every((part) => LICENCES.has(part))
}

function namesOf (licenses = []) {
  return licenses.map(({ license, expression }) => expression ?? license.id ?? license.name)
}
