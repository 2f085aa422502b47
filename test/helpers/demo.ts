/** Fakes around the demo's stand-in services. */
import type { Producer } from '../../demo/producer.ts'
import type { Topic } from '../../src/ports.ts'

export interface ProducedRecord { readonly topic: Topic, readonly key: string, readonly value: object }

/** A broker that remembers, and that refuses as long as it is told to. */
export class FakeProducer implements Producer {
  readonly records: ProducedRecord[] = []
  isDown = false

  async produce (topic: Topic, key: string, value: object): Promise<void> {
    if (this.isDown) throw new Error('no broker')
    this.records.push({ topic, key, value })
  }
}

/** A promise that a test resolves. */
export function makeGate (): { readonly opened: Promise<void>, readonly open: () => void } {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => { open = resolve })
  return { opened, open: () => { open() } }
}
