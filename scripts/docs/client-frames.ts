/** What clients send: schemas of the gateway's own decoder, with a sentence for each field and an example. */
import { AckFrameSchema, AuthFrameSchema, GROUP_PREFIX, HeartbeatFrameSchema, SendFrameSchema, type ClientFrameType } from '../../src/protocol/frames.ts'
import { frame, type FrameDoc } from './schema-text.ts'

/** The moment of all examples, Unix milliseconds. */
export const NOW = 1_767_225_600_000

export const CLIENT_FRAMES: Readonly<Record<ClientFrameType, FrameDoc>> = {
  send_msg: frame({
    schema: SendFrameSchema,
    about: 'A message to a user or a group. Answered by exactly one `ack` or `error` with its `msg_id`, in any order between conversations; of one conversation the next leaves when the last has settled.',
    fields: {
      msg_id: 'Made by the client, unique among all that its user ever sends: repeats are recognised by it',
      recipient: `The id of a group where it begins with \`${GROUP_PREFIX}\`, else of a user; the whole string is the id`,
      content: 'Text; how long it may be is for the IM Service to say, and the frame has its own limit',
      timestamp: 'When the client made it, Unix milliseconds',
      message_type: '`text` where it is absent',
      metadata: 'Whatever the application wants, passed on as it is',
      traceparent: 'W3C trace context of the client\'s own span'
    },
    examples: [
      { type: 'send_msg', msg_id: 'c1-1', recipient: 'bob', content: 'Hello Bob', timestamp: NOW },
      { type: 'send_msg', msg_id: 'c1-2', recipient: 'group_friends', content: 'https://files.example/cat.png', timestamp: NOW, message_type: 'image', metadata: { reply_to: 'c1-1' }, traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' }
    ]
  }),
  ack: frame({
    schema: AckFrameSchema,
    about: 'The device has the messages. At least one of the two fields; both together are one list. Never answered, whatever it names.',
    fields: {
      msg_id: 'Of a `message` that says `ack_required`',
      msg_ids: 'The same for several; counts as one frame'
    },
    examples: [{ type: 'ack', msg_id: 's1-1' }, { type: 'ack', msg_ids: ['s1-2', 's1-3'] }]
  }),
  heartbeat: frame({
    schema: HeartbeatFrameSchema,
    about: 'Asks for a sign of life, where pings cannot be seen (browsers) or to measure the way. Answered by `heartbeat`.',
    fields: { timestamp: 'Comes back as `client_timestamp`' },
    examples: [{ type: 'heartbeat', timestamp: NOW }]
  }),
  auth: frame({
    schema: AuthFrameSchema,
    about: 'A fresh token for the same user and device, before the old one ends. Answered by `auth`, or by an `error` without `msg_id`; the session then goes on until the old token ends.',
    fields: { token: 'A JWT, as in the handshake' },
    examples: [{ type: 'auth', token: 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl' }]
  })
}
