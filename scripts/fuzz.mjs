/** `npm run fuzz -- frames|bytes|upgrades|grpc|kafka|etcd [--seconds N] [--seed N] [--rate N]`: plays what no client, service or store should send to a whole node, ten minutes by default. */
import { prepare } from './lib/prepare.mjs'
import { run } from './lib/project.mjs'

const TIMEOUT_MS = 24 * 3_600_000

await prepare()
process.exitCode = await run(process.execPath, ['--import', 'tsx', 'test/fuzz/run.ts', ...process.argv.slice(2)], { timeoutMs: TIMEOUT_MS })
