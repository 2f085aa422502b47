/** Well-formed WebSocket frames whose payload is our protocol with faults, to sessions in any state. */
import fc from 'fast-check'
import { tokenFor } from '../helpers/app.ts'
import { OPCODE, RawClient } from '../helpers/raw-client.ts'
import { endings, jsonLike, type Ending } from './arbitraries.ts'
import { FODDER, fuzzedUser, GROUP } from './people.ts'
import { within, type Subject, type Target } from './target.ts'

interface Session {
  readonly user: number
  readonly device: string
  /** Frames go out with the request, before anybody has answered it. */
  readonly early: boolean
  readonly frames: ReadonlyArray<readonly [opcode: number, payload: string]>
  readonly ending: Ending
}

/** Becomes a token of the session's own. */
const TOKEN = '$TOKEN'
const id = fc.oneof(fc.constantFrom('m1', 'm2', 'p1'), fc.string({ minLength: 1, maxLength: 70 }))
const recipient = fc.oneof(fc.constantFrom(FODDER, GROUP, 'group_none', 'f1', 'f2', ''), fc.string({ unit: 'binary', maxLength: 130 }))
const frame = fc.oneof(
  fc.record({
    type: fc.constant('send_msg'),
    msg_id: id,
    recipient,
    content: fc.string({ unit: 'binary', maxLength: 200 }),
    timestamp: fc.nat(),
    message_type: fc.constantFrom(undefined, 'text', 'image', 'none'),
    metadata: fc.option(fc.dictionary(fc.string({ maxLength: 5 }), fc.string({ maxLength: 5 }), { maxKeys: 40 }), { nil: undefined }),
    traceparent: fc.option(fc.constantFrom('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'ff', 'x'.repeat(129)), { nil: undefined })
  }),
  fc.record({ type: fc.constant('ack'), msg_id: fc.option(id, { nil: undefined }), msg_ids: fc.option(fc.array(id, { maxLength: 300 }), { nil: undefined }) }),
  fc.record({ type: fc.constant('heartbeat'), timestamp: fc.option(fc.nat(), { nil: undefined }) }),
  fc.record({ type: fc.constant('auth'), token: fc.oneof(fc.constant(TOKEN), fc.string({ maxLength: 50 })) }),
  fc.record({ type: fc.string({ maxLength: 10 }) })
)
const payload = jsonLike(frame)
const control = fc.string({ unit: 'binary', maxLength: 30 })
const wireFrame: fc.Arbitrary<readonly [number, string]> = fc.oneof(
  { weight: 10, arbitrary: fc.tuple(fc.constant(OPCODE.text), payload) },
  fc.tuple(fc.constant(OPCODE.binary), payload),
  fc.tuple(fc.constantFrom(OPCODE.ping, OPCODE.pong), control)
)

export const frames: Target<Session> = {
  cases: fc.record({ user: fc.nat(40), device: fc.constantFrom('phone', 'web', 'a', 'b', 'c', 'd', 'e'), early: fc.boolean(), frames: fc.array(wireFrame, { maxLength: 12 }), ending: endings }),
  play: async ({ port }: Subject, { user, device, early, frames: list, ending }) => {
    const token = tokenFor(fuzzedUser(user), { deviceId: device })
    const { client, welcomed } = RawClient.open({ port, token })
    if (!early) await within(welcomed, 'the answer to an upgrade')
    for (const [opcode, text] of list) client.write(opcode, text.replace(TOKEN, token))
    if (ending === 'close') client.close()
    else if (ending === 'end') client.socket.end()
    else client.reset()
    await within(client.closed, 'the end of a session')
  }
}
