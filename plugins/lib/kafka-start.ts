/** Asks Kafka where reading begins: at the end of each topic, or where the first client's time says. */
import type { Admin } from 'kafkajs'
import { earlier, FIRST_CLIENT_SLACK_MS, type PartitionOffset } from '../../src/groups/positions.ts'

export type OffsetsAdmin = Pick<Admin, 'fetchTopicOffsets' | 'fetchTopicOffsetsByTimestamp'>

/**
 * Starting offsets of a topic, all partitions that it has now. Rejects where the topic does not exist or Kafka does not
 * answer. `firstClientMs` (Unix milliseconds) is read after the ends of the log are known: whoever is let in later
 * misses nothing from there on, and for whoever came earlier the answer goes back to that time.
 */
export async function startingOffsets (admin: OffsetsAdmin, topic: string, firstClientMs: () => number | undefined): Promise<PartitionOffset[]> {
  try {
    const ends = (await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => ({ partition, offset: high }))
    const firstMs = firstClientMs()
    if (firstMs === undefined) return ends
    // Where no record is that young the library answers with the end of a moment later, which may be past some that we want.
    return earlier(ends, await admin.fetchTopicOffsetsByTimestamp(topic, firstMs - FIRST_CLIENT_SLACK_MS))
  } catch (error) {
    throw new Error(`topic ${topic}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}
