/** What a node holds of its clients: all of it ends with them. */
import type { FastifyInstance } from 'fastify'

export function heldBy ({ hub, outbox, tracker, sender, guard }: FastifyInstance['gateway']): Record<string, number> {
  return {
    connections: hub.connectionCount,
    users: hub.userCount,
    watched: outbox.watchedCount,
    'waiting bytes': outbox.waitingBytes,
    'pending pushes': tracker.size,
    'pending bytes': tracker.bytes,
    'pending sends': sender.pending,
    'pending handshakes': guard.pendingCount
  }
}
