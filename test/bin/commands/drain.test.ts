/** What the command makes of several workers behind one port; one node is in test/flows/explain.test.ts. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { drainCommand } from '../../../bin/commands/drain.ts'
import { EXIT_NO, EXIT_OK, EXIT_UNAVAILABLE, EXIT_USAGE } from '../../../bin/exit-codes.ts'
import type { DrainProgress } from '../../../src/connections/drain.ts'
import { mergeDrain } from '../../../src/workers/merge.ts'

const HELD: DrainProgress = { phase: 'held', total: 2, closed: 2, remaining: 0 }
const OFF: DrainProgress = { phase: 'off', total: 0, closed: 0, remaining: 2 }

/** Answers as a primary does, each time the next; what the workers `w0` and `w1` say, undefined: nothing. */
async function primary (t: Test, status: number, ...answers: ReadonlyArray<ReadonlyArray<DrainProgress | undefined>>) {
  const asked: Array<string | undefined> = []
  const http = createServer(({ method }, response) => {
    const values = answers[asked.push(method) - 1] ?? []
    response.writeHead(status).end(JSON.stringify(mergeDrain(values.map((value, index) => ({ worker: `w${index}`, value })))))
  })
  await new Promise<void>((resolve) => { http.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { http.close() })
  return { url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, asked }
}

/** A minute passes between two looks at the clock. */
async function run (...args: string[]) {
  let [out, err, nowMs] = ['', '', 0]
  const code = await drainCommand(args, { out: (text) => { out += text }, err: (text) => { err += text } }, {}, { pollMs: 1, nowMs: () => (nowMs += 60_000) })
  return { code, out, err }
}

t.test('a worker that does not answer is named, and is no answer', async (t) => {
  for (const [answer, phase] of [[[HELD, undefined], 'held'], [[undefined, undefined], 'off']] as const) {
    const { url } = await primary(t, 200, answer, answer)
    t.match(await run('--admin', url, '--status'), { code: EXIT_UNAVAILABLE, err: '', out: new RegExp(`^ADMIN .*\\n${url} +${phase} [^]*${url}: worker w1 does not answer: what it knows is missing here\\.\\n$`) })
    const { code, out } = await run('--json', '--admin', url, '--status')
    t.match([code, (JSON.parse(out) as object[]).at(-1)], [EXIT_UNAVAILABLE, { admin: url, error: 'worker w1 does not answer' }])
  }
})

t.test('--wait waits for a worker that does not answer', async (t) => {
  const { url, asked } = await primary(t, 200, [HELD, undefined], [undefined, undefined], [HELD, OFF, undefined], [HELD, HELD])
  t.match(await run('--admin', url, '--wait'), { code: EXIT_OK, out: /held +4 +0/ })
  t.strictSame(asked, ['POST', 'GET', 'GET', 'GET'])
})

t.test('--wait gives up at its time', async (t) => {
  const busy: DrainProgress = { phase: 'closing', total: 2, closed: 1, remaining: 1 }
  for (const [answer, code, phase] of [[[busy, HELD], EXIT_NO, /closing/], [[HELD, undefined], EXIT_UNAVAILABLE, /held/]] as const) {
    const { url, asked } = await primary(t, 200, answer, answer, answer, answer)
    t.match(await run('--admin', url, '--wait', '--timeout', '3m'), { code, out: phase })
    t.strictSame(asked, ['POST', 'GET', 'GET'])
  }
  t.match(await run('--admin', 'http://127.0.0.1:1', '--wait', '--timeout', 'soon'), { code: EXIT_USAGE, err: /--timeout soon: it is a time like/ })
  t.match(await run('--admin', 'http://127.0.0.1:1', '--timeout', '3m'), { code: EXIT_USAGE, err: /--timeout is for --wait/ })
})

t.test('of a worker that does not answer nobody says that it is ending', async (t) => {
  const silent = await primary(t, 200, [OFF, undefined])
  const { code, out } = await run('--admin', silent.url, '--cancel')
  t.equal(code, EXIT_UNAVAILABLE)
  t.match(out, /worker w1 does not answer/)
  t.notMatch(out, /is ending/)
  const ending = await primary(t, 409, [HELD, HELD])
  t.match(await run('--admin', ending.url, '--cancel'), { code: EXIT_NO, out: /held, the process is ending/ })
})
