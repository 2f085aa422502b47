import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { collectGarbage, processMemory, type MemoryReading } from '../../../plugins/lib/process-memory.ts'

function usage (rss: number, heapTotal: number, heapUsed: number, external: number, status = ''): MemoryReading {
  return { rss, heapTotal, heapUsed, external, status }
}

t.test('[GW-OVL-1] in use is what V8 counts and what the program took at the start, not what is kept for later', async (t) => {
  const answers = [usage(100, 40, 30, 10), usage(200, 60, 50, 40), usage(200, 60, 20, 10)]
  const read = processMemory(() => answers.shift() as MemoryReading)
  t.strictSame([read(), read()], [{ inUseBytes: 140, residentBytes: 200 }, { inUseBytes: 80, residentBytes: 200 }])
})

t.test('[GW-OVL-1] the files of the program count as resident only where the kernel does not tell them from the rest', async (t) => {
  const status = 'Name:\tnode\nVmRSS:\t    9000 kB\nRssAnon:\t    5000 kB\nRssFile:\t    4000 kB\n'
  t.equal(processMemory(() => usage(9_216_000, 0, 0, 0, status))().residentBytes, 5_120_000)
  t.equal(processMemory(() => usage(9_216_000, 0, 0, 0, 'VmRSS:\t    9000 kB\n'))().residentBytes, 9_216_000)
})

t.test('what V8 has asked for and not touched yet makes no program smaller than nothing', async (t) => {
  const read = processMemory(() => usage(100, 120, 30, 10))
  t.strictSame(read(), { inUseBytes: 40, residentBytes: 100 })
})

t.test('[GW-OVL-1] memory that cannot be read for want of files is as it was, and is read again afterwards', async (t) => {
  const answers: Array<number | Error> = [100, 200, new Error('EMFILE'), 300]
  const read = processMemory(() => {
    const answer = answers.shift()
    if (typeof answer !== 'number') throw answer ?? new Error('asked too often')
    return usage(answer, 0, 0, 0)
  })
  t.strictSame([read(), read(), read()].map(({ residentBytes }) => residentBytes), [200, 200, 300])
})

t.test('it is that of the process', async (t) => {
  const { inUseBytes, residentBytes } = processMemory()()
  t.ok(inUseBytes > 10_000_000)
  t.ok(residentBytes > 10_000_000)
})

t.test('[GW-OVL-1] buffers that nobody has any more are collected, and the flag for it is seen nowhere else', async (t) => {
  const bytes = 64 * 1024 ** 2
  const hold = (): number => Buffer.alloc(bytes).length + process.memoryUsage().arrayBuffers
  const held = hold() - bytes
  // A reference may linger on the stack of this turn.
  await turn()
  for (let i = 0; i < 2; i++) {
    collectGarbage()
    await turn()
  }
  t.ok(process.memoryUsage().arrayBuffers <= held - bytes, `${process.memoryUsage().arrayBuffers} of ${held}`)
  t.equal('gc' in globalThis, false)
})
