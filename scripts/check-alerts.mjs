/** Has promtool check the rules, their test cases and the example configuration of deploy/prometheus/. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fail, root, run } from './lib/project.mjs'

const tools = spawnSync('bash', [join(root, 'scripts/tools.sh'), 'prometheus'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
if (tools.status !== 0) fail('promtool is missing')
const promtool = join(tools.stdout.trim(), 'promtool')
const CHECKS = [
  ['check', 'rules', 'deploy/prometheus/im-gateway.rules.yaml'],
  ['check', 'config', 'deploy/prometheus/prometheus.yaml'],
  ['test', 'rules', 'deploy/prometheus/im-gateway.test.yaml']
]
for (const args of CHECKS) {
  if (await run(promtool, args, { timeoutMs: 60_000 }) !== 0) process.exitCode = 1
}
