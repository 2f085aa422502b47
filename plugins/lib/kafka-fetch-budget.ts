/**
 * What one answer to a fetch may become: a kilobyte may grow to 32 MB, and 1 MB of such batches to all memory there is. Past the
 * budget an answer counts as cut, as Kafka cuts it where it is full: the rest is fetched again, and nothing is lost.
 */

/** Reached by one batch alone; what the last one grows to comes on top. */
const BUDGET_BYTES = 32 * 1024 * 1024
/** Of a record the library makes an object with texts, in a microsecond and half a kilobyte. */
const RECORD_BYTES = 512

/** By the memory that an answer lies in. */
const spent = new WeakMap<ArrayBufferLike, number>()

/** The library takes it for the end of an answer that was cut, and goes by the name. */
class AnswerSpentError extends Error {
  override readonly name = 'KafkaJSPartialMessageError'
}

/** Throws where the answer that this is a part of has become too much already. The first of an answer always may. */
export function checkBudget ({ buffer }: Buffer): void {
  if ((spent.get(buffer) ?? 0) >= BUDGET_BYTES) throw new AnswerSpentError('this answer has become too much, the rest is fetched again')
}

/** Counts what came of a part of an answer. */
export function spend ({ buffer }: Buffer, bytes: number, records: number): void {
  spent.set(buffer, (spent.get(buffer) ?? 0) + bytes + records * RECORD_BYTES)
}
