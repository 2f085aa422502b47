/** What an outbox did with a frame. `slow`: full or too old, the connection is being closed. `closed`: it was closing already. */
export type SendResult = 'queued' | 'slow' | 'closed'
