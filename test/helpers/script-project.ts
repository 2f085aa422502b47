import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'

const ROOT = join(import.meta.dirname, '..', '..')
/** What the test runner wants of a project. */
const OF_RUNNER = ['.taprc', 'buf.gen.yaml', 'package.json', 'package-lock.json', 'proto', 'src/generated']

/** A folder with the project's scripts and the given files. */
export function scriptProject (t: Test, files: Readonly<Record<string, string>>): string {
  const folder = t.testdir({})
  cpSync(join(ROOT, 'scripts'), join(folder, 'scripts'), { recursive: true })
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return folder
}

/** As `scriptProject`, where tests can be run: tap empties a folder of the project that it runs in, and the one that runs us keeps its own. */
export function testProject (t: Test, files: Readonly<Record<string, string>>): string {
  const folder = scriptProject(t, files)
  for (const path of OF_RUNNER) cpSync(join(ROOT, path), join(folder, path), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

/** The environment of a tap that one of its own children starts: what tells a child of tap that it is one is left out. */
export function ownEnvironment (): NodeJS.ProcessEnv {
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(TAP|_TAP)/.test(name)))
  // Left out, Node would hand it on to its children all the same.
  return { ...own, NODE_V8_COVERAGE: '' }
}
