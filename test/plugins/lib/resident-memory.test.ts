import t from 'tap'
import { residentMemory } from '../../../plugins/lib/resident-memory.ts'

t.test('[GW-OVL-1] memory that cannot be read for want of files is as it was, and is read again afterwards', async (t) => {
  const answers: Array<number | Error> = [100, 200, new Error('EMFILE'), 300]
  const read = residentMemory(() => {
    const answer = answers.shift()
    if (typeof answer !== 'number') throw answer ?? new Error('asked too often')
    return answer
  })
  t.strictSame([read(), read(), read()], [200, 200, 300])
})

t.test('it is that of the process', async (t) => {
  t.ok(residentMemory()() > 10_000_000)
})
