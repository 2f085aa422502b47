/** Where the stand-in services put their records: Kafka, or the embedded bus. */
import type { Topic } from '../src/ports.ts'

export interface Producer {
  /** Resolves once the broker has the record for good (Kafka: acks = all); rejects where that is not known. */
  produce (topic: Topic, key: string, value: object): Promise<void>
}
