import fc from 'fast-check'
import t from 'tap'
import { parseEnvironment } from '../../src/config/parse.ts'
import { VARIABLE_NAMES, VARIABLES } from '../../src/config/table.ts'
import { formatDuration, formatSize, parseDuration, parseSize } from '../../src/config/units.ts'

const seed = process.env['FC_SEED']
const runs = { numRuns: 300, ...(seed !== undefined && { seed: Number(seed) }) }

t.test('what is printed is read back the same', async (t) => {
  fc.assert(fc.property(fc.nat({ max: 10 ** 9 }), (value) => {
    return parseDuration(formatDuration(value)) === value && parseSize(formatSize(value)) === value
  }), runs)
  t.pass()
})

t.test('no environment makes the reader throw, and each fault names a variable', async (t) => {
  const env = fc.dictionary(fc.constantFrom(...VARIABLE_NAMES, 'JWT_SECRET_FILE', 'OTHER'), fc.oneof(fc.string(), fc.constantFrom('0', '1', 'true', '10s', '1MB', 'a:1', '__proto__')))
  fc.assert(fc.property(env, (texts) => {
    const { faults, values } = parseEnvironment(texts, () => { throw new Error('no file') })
    return faults.every(({ names }) => names.some((name) => name in VARIABLES)) && Object.keys(values).length === VARIABLE_NAMES.length
  }), runs)
  t.pass()
})
