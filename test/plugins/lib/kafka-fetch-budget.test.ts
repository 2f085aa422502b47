import t from 'tap'
import { checkBudget, spend } from '../../../plugins/lib/kafka-fetch-budget.ts'

const MB = 1024 * 1024
/** Of two parts. */
const answer = (): [Buffer, Buffer] => {
  const whole = Buffer.from(new ArrayBuffer(8))
  return [whole.subarray(0, 4), whole.subarray(4)]
}

t.test('what comes of one part counts for all of an answer, and for no other', (t) => {
  const [[first, second], [other]] = [answer(), answer()]
  checkBudget(first)
  spend(first, 32 * MB - 1, 0)
  checkBudget(second)
  spend(second, 1, 0)
  for (const part of [first, second]) t.throws(() => checkBudget(part), { name: 'KafkaJSPartialMessageError' })
  t.doesNotThrow(() => checkBudget(other))
  t.end()
})

t.test('records count for what they become, however small they are', (t) => {
  const [part] = answer()
  spend(part, 0, 65_535)
  t.doesNotThrow(() => checkBudget(part))
  spend(part, 0, 1)
  t.throws(() => checkBudget(part))
  t.end()
})
