import t from 'tap'
import { deployReport } from '../../../scripts/lib/deploy-report.ts'

t.test('the report of a deployment names each test with how it ended, the versions, the day and the sums', async (t) => {
  const page = deployReport({
    passed: 7,
    failed: 1,
    files: [
      { path: 'test/deploy/a.test.ts', ok: true, tests: [{ name: 'a | b', ok: true, ms: 1_234 }] },
      { path: 'test/deploy/b.test.ts', ok: false, tests: [{ name: 'c', ok: false, ms: 5 }] }
    ]
  }, { date: '2026-11-30', machine: '2 cores', versions: { Node: 'v20.20.0', envoy: '1.40.0' } })
  t.match(page, '2026-11-30, 2 cores, 7 assertions passed, 1 failed.')
  t.match(page, '\nNode v20.20.0, envoy 1.40.0.\n')
  t.match(page, '\n## test/deploy/a.test.ts\n\n| test | | took |\n|---|---|---|\n| a \\| b | passed | 1.2 s |\n')
  t.match(page, '\n## test/deploy/b.test.ts: failed\n\n| test | | took |\n|---|---|---|\n| c | **failed** | 0.0 s |\n')
})
