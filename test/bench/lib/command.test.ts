import t from 'tap'
import { commandOf, usageOf, type Choice } from '../../../bench/lib/command.ts'

const CHOICE: Choice = { scenarios: ['S1', 'S2', 'S3'], compared: ['S1', 'S3'], curves: ['S1', 'S3-groups'] }
const ask = (line: string): ReturnType<typeof commandOf> => commandOf(line.split(' ').filter((word) => word !== ''), CHOICE)

t.test('scenarios are chosen by id, one or several, in the order of the page', async (t) => {
  t.same(ask('S3'), { scenarios: ['S3'], curves: [], repeats: undefined, seed: 1 })
  t.same(ask('S3 S1 --repeats 7 --seed 12'), { scenarios: ['S1', 'S3'], curves: [], repeats: 7, seed: 12 })
  t.match(ask('compare'), { scenarios: ['S1', 'S3'], curves: [] })
  t.match(ask('all'), { scenarios: ['S1', 'S2', 'S3'], curves: ['S1', 'S3-groups'] })
  t.match(ask('growth'), { scenarios: [], curves: ['S1', 'S3-groups'] })
  t.match(ask('growth S3-groups'), { scenarios: [], curves: ['S3-groups'] })
})

t.test('what is none of this is refused, and nothing of it is left out in silence', async (t) => {
  for (const line of ['', 'S99', 's3', 'S1 S99', 'S3 all', 'compare S3', 'growth S2', '--seed', 'S3 --seed x', 'S3 --repeats x', 'S3 --repeats 0', 'S3 --repeats 100', 'S3 --repeats -1', 'S3 --bogus']) {
    t.equal(ask(line), undefined, line)
  }
})

t.test('who asks for help gets it, whatever stands beside it', async (t) => {
  for (const line of ['--help', '-h', 'S99 --help']) t.equal(ask(line), 'help', line)
  t.match(usageOf(CHOICE), /S1 S2 …[^]*S1 to S3[^]*growth S1 …[^]*S1, S3-groups/)
})
