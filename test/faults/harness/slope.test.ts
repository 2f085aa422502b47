import t from 'tap'
import { growthPerHour } from './slope.ts'
import { seededRandom } from '../../../rehearse/random.ts'

const samples = (amount: (hour: number, connections: number) => number) => {
  const random = seededRandom(3)
  return Array.from({ length: 60 }, (_, minute) => {
    const connections = 300 + Math.floor(random() * 200)
    return { hour: minute / 60, connections, amount: amount(minute / 60, connections) }
  })
}

t.test('what only follows the connections does not grow', async (t) => {
  t.ok(Math.abs(growthPerHour(samples((_, connections) => 60e6 + connections * 10_000))) < 1)
})

t.test('what grows is found, however the connections come and go', async (t) => {
  const growth = growthPerHour(samples((hour, connections) => 60e6 + connections * 10_000 + hour * 600_000))
  t.ok(Math.abs(growth - 600_000) < 1, `${growth}`)
})

t.test('where the connections stay the same, it is the line through the amounts', async (t) => {
  t.equal(growthPerHour([0, 1, 2].map((hour) => ({ hour, connections: 5, amount: 10 + 2 * hour }))), 2)
})
