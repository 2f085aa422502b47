/** docs/deploy-report.md: what `npm run test:deploy -- --record` ran. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { delimiter, join } from 'node:path'

export interface TestRun { readonly name: string, readonly ok: boolean, readonly ms: number }
/** As `runTap` of scripts/lib/tap.mjs resolves to it: assertions, and the files with their tests. */
export interface SuiteRun { readonly passed: number, readonly failed: number, readonly files: ReadonlyArray<{ readonly path: string, readonly ok: boolean, readonly tests: readonly TestRun[] }> }
export interface Circumstances { readonly date: string, readonly machine: string, readonly versions: Readonly<Record<string, string>> }

const ROOT = join(import.meta.dirname, '../..')
/** Programs, and how they are asked for their version. */
const PROGRAMS: Readonly<Record<string, readonly string[]>> = { helm: ['version', '--short'], 'kube-apiserver': ['--version'], etcd: ['--version'], prometheus: ['--version'], envoy: ['--version'], otelcol: ['--version'], chromium: ['--version'] }
const VERSION = /v?\d+\.\d+\.\d+/

/** Writes the page. Throws where a program is not there. */
export function recordDeployment (run: SuiteRun): void {
  const page = deployReport(run, { date: new Date().toISOString().slice(0, 10), machine: `${availableParallelism()} cores`, versions: { Node: process.version, ...versions() } })
  writeFileSync(join(ROOT, 'docs/deploy-report.md'), page)
}

export function deployReport ({ passed, failed, files }: SuiteRun, { date, machine, versions }: Circumstances): string {
  const row = ({ name, ok, ms }: TestRun): string => `| ${name.replaceAll('|', '\\|')} | ${ok ? 'passed' : '**failed**'} | ${(ms / 1000).toFixed(1)} s |\n`
  const sections = files.map(({ path, ok, tests }) => `\n## ${path}${ok ? '' : ': failed'}\n\n| test | | took |\n|---|---|---|\n${tests.map(row).join('')}`)
  return `# What stands in charts/ and deploy/, tried with real programs

<!-- Written by \`npm run test:deploy -- --record\`; do not edit. -->

The last run that was kept: ${date}, ${machine}, ${passed} assertions passed, ${failed} failed. There was no container engine: of \`deploy/compose.yaml\` nothing was run.

${Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(', ')}.
${sections.join('')}`
}

function versions (): Record<string, string> {
  const env = { ...process.env, PATH: [join(ROOT, '.cache/bin'), process.env['PATH']].join(delimiter) }
  return Object.fromEntries(Object.entries(PROGRAMS).map(([name, args]) => {
    const words = execFileSync(name, args, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'ignore'] })
    return [name, VERSION.exec(words)?.[0] ?? words.trim()]
  }))
}
