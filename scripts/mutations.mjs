/**
 * `npm run test:mutations [-- ID...]`: breaks each rule on purpose, in a copy of the tree, and demands that a test which
 * carries the rule's id turns red.
 *
 * test/mutations/*.json hold the breaks: `{ id, file, find, replace, test }`. `id` is a rule of docs/behaviour.md, or
 * `security N` for a line of SECURITY.md. `find` stands exactly once in `file`; of the file `test` those tests are run whose
 * names have `[id]` or begin with `id: `. A break is caught when one of them fails, or never ends.
 */
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundleTo } from './lib/bundle.mjs'
import { prepare } from './lib/prepare.mjs'
import { fail, files, root } from './lib/project.mjs'
import { withServices } from './lib/services.mjs'

const WORKERS = 2
const TEST_TIMEOUT_MS = 60_000
const COPIED = ['.taprc', 'CONTRIBUTING.md', 'Dockerfile', 'LICENSE', 'README.md', 'bin', 'buf.gen.yaml', 'buf.yaml', 'charts', 'demo', 'deploy', 'docs', 'package-lock.json', 'package.json', 'plugins', 'proto', 'routes', 'scripts', 'src', 'test', 'tsconfig.build.json', 'tsconfig.json']

await prepare()
const wanted = process.argv.slice(2)
const table = files('test/mutations', (path) => path.endsWith('.json'))
  .flatMap((path) => JSON.parse(readFileSync(join(root, path), 'utf8')))
  .filter((mutation) => wanted.length === 0 || wanted.includes(mutation.id))
if (table.length === 0) fail(wanted.length === 0 ? 'test/mutations is empty' : `no mutation of ${wanted.join(', ')}`)

const totals = { passed: 0, failed: 0 }
const needsServices = table.some((mutation) => mutation.test.startsWith('test/integration/'))
await (needsServices ? withServices(runAll) : runAll({}))
process.stdout.write(`${totals.passed} passed, ${totals.failed} failed\n`)
process.exitCode = totals.failed === 0 ? 0 : 1

async function runAll (env) {
  // By test file, so that a worker sees each file green once before it breaks anything.
  const groups = [...group(table)]
  await Promise.all(Array.from({ length: WORKERS }, async () => {
    const copy = copyTree()
    try {
      for (let next = groups.shift(); next !== undefined; next = groups.shift()) await runGroup(copy, next[0], next[1], env)
    } finally {
      rmSync(copy, { recursive: true, force: true })
    }
  }))
}

function group (mutations) {
  const groups = new Map()
  for (const mutation of mutations) groups.set(mutation.test, [...groups.get(mutation.test) ?? [], mutation])
  return groups.entries()
}

function copyTree () {
  const copy = mkdtempSync(join(tmpdir(), 'im-gateway-mutations-'))
  for (const name of COPIED) {
    try {
      cpSync(join(root, name), join(copy, name), { recursive: true })
    } catch (error) {
      if (error.code !== 'ENOENT') throw error
    }
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  return copy
}

async function runGroup (copy, test, mutations, env) {
  const before = await runTest(copy, test, env)
  if (before.code !== 0) {
    report(false, test, `is red without any break\n${before.output}`)
    return
  }
  for (const mutation of mutations) {
    const path = join(copy, mutation.file)
    const source = readFileSync(path, 'utf8')
    if (source.split(mutation.find).length !== 2) {
      report(false, mutation.id, `${JSON.stringify(mutation.find)} does not stand exactly once in ${mutation.file}`)
      continue
    }
    writeFileSync(path, source.replace(mutation.find, () => mutation.replace))
    const carriers = new RegExp(`\\[${mutation.id}\\]|^${mutation.id}: `)
    const { code, late, red } = await runTest(copy, test, { ...env, TAP_GREP: String(carriers) })
    writeFileSync(path, source)
    const caught = red.filter((name) => carriers.test(name))
    if (late || caught.length > 0) report(true, mutation.id, `${mutation.file}: ${late ? 'the test never ended' : caught[0]}`)
    else report(false, mutation.id, `${mutation.file}: ${code === 0 ? `${test} stays green` : `no test with the id fails in ${test} (${red.join('; ') || 'it did not load'})`}`)
  }
}

async function runTest (copy, test, env) {
  const bundle = join(copy, '.cache/test.mjs')
  try {
    await bundleTo(bundle, join(copy, test))
  } catch (error) {
    return { code: 1, late: false, red: [], output: String(error) }
  }
  return await new Promise((resolve) => {
    const child = spawn(process.execPath, [bundle], { cwd: copy, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    let late = false
    child.stdout.on('data', (data) => { output += data })
    child.stderr.on('data', (data) => { output += data })
    const timer = setTimeout(() => { late = true; child.kill('SIGKILL') }, TEST_TIMEOUT_MS)
    child.once('close', (code) => {
      clearTimeout(timer)
      const red = [...output.matchAll(/^ *not ok \d+ - (.*?)(?: # time=.*)?$/gm)].map((match) => match[1])
      resolve({ code, late, red, output })
    })
  })
}

function report (ok, name, text) {
  totals[ok ? 'passed' : 'failed'] += 1
  process.stdout.write(`${ok ? 'ok' : 'NOT OK'} ${name} ${text}\n`)
}
