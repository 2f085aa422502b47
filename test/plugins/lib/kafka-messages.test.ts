import t from 'tap'
import { areMessages, EMPTY_MESSAGE } from '../../../plugins/lib/kafka-messages.ts'
import { MAX_RECORDS } from '../../../plugins/lib/kafka-records.ts'

const changed = (at: number, byte: number): Buffer => Buffer.from(EMPTY_MESSAGE).fill(byte, at, at + 1)

t.test('messages one after the other are messages, and nothing else is', (t) => {
  t.ok(areMessages(EMPTY_MESSAGE))
  t.ok(areMessages(Buffer.concat([EMPTY_MESSAGE, EMPTY_MESSAGE])))
  t.notOk(areMessages(Buffer.alloc(0)))
  for (let length = 1; length < EMPTY_MESSAGE.length; length++) t.notOk(areMessages(EMPTY_MESSAGE.subarray(0, length)), `${length} bytes of one`)
  t.notOk(areMessages(changed(11, 15)), 'a size that is not its own')
  t.notOk(areMessages(changed(16, 2)), 'a batch')
  t.notOk(areMessages(changed(21, 0xfe)), 'a key of less than nothing')
  t.notOk(areMessages(changed(25, 0xfe)), 'a value of less than nothing')
  t.notOk(areMessages(changed(22, 0x7f)), 'a value past the end')
  t.end()
})

t.test('there are no more of them than of records in a batch', (t) => {
  const messages = (count: number): Buffer => Buffer.alloc(count * EMPTY_MESSAGE.length, EMPTY_MESSAGE)
  t.ok(areMessages(messages(MAX_RECORDS)))
  t.notOk(areMessages(messages(MAX_RECORDS + 1)))
  t.end()
})
