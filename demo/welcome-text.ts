/** What the demo prints when it is up: how to talk to it. */
import type { Gateway } from './gateway.ts'
import type { World } from './world.ts'

const PEOPLE = ['alice', 'bob', 'carol']
export const GROUP = 'group_friends'

/** Makes alice, bob, carol and their group, with tokens of an hour that fit any device. */
export function welcomeText (world: World, gateways: readonly [Gateway, ...Gateway[]], tokenTtlMs: number): string {
  const [gateway] = gateways
  const admins = gateways.map(({ admin }) => `http://127.0.0.1:${admin}`)
  for (const name of PEOPLE) world.users.addUser(name)
  world.users.createGroup(GROUP, PEOPLE)
  const tokens = PEOPLE.map((name) => [name.toUpperCase(), world.auth.mint(name, undefined, tokenTtlMs).accessToken] as const)
  const bob = tokens[1]?.[1] ?? ''
  const push = JSON.stringify({ msg_id: 'hello-1', recipient_id: 'alice', sender_id: 'bob', content: 'Hello from grpcurl', message_type: 'text', sequence_number: 1, timestamp: 0 })
  const send = JSON.stringify({ type: 'send_msg', msg_id: 'm1', recipient: 'bob', content: 'Hello Bob', timestamp: 0 })
  return `The demo is up. Ctrl-C ends it. Open the chat page in a browser:

  ${world.httpUrl}/

or speak to it from here:

  WebSocket   ${gateways.map(({ url }) => url).join('  ')}
  gRPC        ${gateways.map(({ grpc }) => grpc).join('  ')}
  admin       ${admins.join('  ')}
  services    ${world.httpUrl}    tokens, history, groups

Tokens of alice, bob and carol, good for ${Math.round(tokenTtlMs / 60_000)} minutes on any device:

${tokens.map(([name, token]) => `export ${name}=${token}`).join('\n')}

A terminal each; the device name is yours to choose:

  npx wscat -c '${gateway.url}?device_id=phone' -s im.v1.json -H "Authorization: Bearer $ALICE"
  npx wscat -c '${gateway.url}?device_id=phone' -s im.v1.json -H "Authorization: Bearer $BOB"

then type, as alice (for the group: "recipient":"${GROUP}"; every message needs a msg_id of its own):

  ${send}

and as bob, so that the sender's side knows that it arrived:

  {"type":"ack","msg_id":"m1"}

A browser: open http://127.0.0.1:${gateway.port}/healthz, then in its console, as bob:

  ws = new WebSocket('${gateway.url}?device_id=browser', ['im.v1.json', 'bearer.${bob}'])
  ws.onmessage = ({ data }) => { const m = JSON.parse(data); console.log(m); if (m.ack_required) ws.send(JSON.stringify({ type: 'ack', msg_id: m.msg_id })) }
  ws.send(JSON.stringify({ type: 'send_msg', msg_id: crypto.randomUUID(), recipient: 'alice', content: 'Hello Alice', timestamp: Date.now() }))

What was missed, a fresh token (an hour's; expires_in: fewer seconds), a group joined:

  curl -s -H "Authorization: Bearer $ALICE" '${world.httpUrl}/history?conversation=alice:bob&after=0'
  curl -s -H 'Content-Type: application/json' -d '{"user_id":"dave","device_id":"phone","expires_in":60}' ${world.httpUrl}/token
  curl -s -X POST -H "Authorization: Bearer $DAVE" ${world.httpUrl}/groups/${GROUP}/join

What became of it, who is here, and a session ended (after npm run build; any node tells the way of a message, the others tell of themselves):

  npx im-gateway explain m1 --admin ${admins[0]}
  npx im-gateway connections ${admins.map((url) => `--admin ${url}`).join(' ')}
  npx im-gateway disconnect bob --admin ${admins[0]}

The gateway's own gRPC service (reflection is on):

  export BEARER=${world.bearer}
  grpcurl -plaintext -H "authorization: Bearer $BEARER" ${gateway.grpc} list
  grpcurl -plaintext -H "authorization: Bearer $BEARER" -d '${push}' ${gateway.grpc} gateway.v1.GatewayService/PushMessage
`
}
