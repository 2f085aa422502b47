import fc from 'fast-check'
import t from 'tap'
import { Fifo } from '../../../src/registry/fifo.ts'

t.test('what is put in comes out in the same order, whenever it is asked for', async () => {
  fc.assert(fc.property(fc.array(fc.option(fc.nat()), { maxLength: 100 }), (steps) => {
    const fifo = new Fifo<number>()
    const model: number[] = []
    return steps.every((step) => {
      if (step === null) return fifo.shift() === model.shift() && fifo.length === model.length
      fifo.push(step)
      return fifo.length === model.push(step)
    })
  }))
})
