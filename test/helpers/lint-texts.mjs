/**
 * Lints texts that stand for files: `[{ path, text }]` as JSON on stdin, a list of messages for each on stdout. A process
 * of its own, without tsx: ESLint's plugins do not load under its hooks.
 */
import { text } from 'node:stream/consumers'
import { join } from 'node:path'
import { ESLint } from 'eslint'
import tseslint from 'typescript-eslint'

const root = join(import.meta.dirname, '..', '..')
// The project's own configuration, less the rules that need the types of files that do not exist.
const eslint = new ESLint({ cwd: root, overrideConfig: [{ files: ['**/*.ts'], ...tseslint.configs.disableTypeChecked }] })

const cases = JSON.parse(await text(process.stdin))
const answers = []
for (const { path, text } of cases) {
  const [result] = await eslint.lintText(text, { filePath: join(root, path) })
  answers.push((result?.messages ?? []).map((message) => `${message.fatal ? 'parser' : message.ruleId}: ${message.message}`))
}
process.stdout.write(JSON.stringify(answers))
