/** docs/conformance.md: the lines of the protocol between kit and client, and the table of what is judged. */
import { REQUIREMENTS } from '../../conformance/requirements.ts'

export function conformancePage (): string {
  const rows = Object.entries(REQUIREMENTS).map(([id, { level, text }]) => `| ${id} | ${level} | ${text} |`)
  return `# Does your client keep to the protocol?

\`\`\`sh
npm run build
npx im-gateway check-client -- python3 my_client.py
\`\`\`

starts your client again and again, each time against a gateway of its own on a free port of loopback, and plays what happens to clients: slow acks,
none, repeats, messages that overtake each other or are missing, errors, each close code, shutdown, tokens that end, silence. It takes about a minute and prints one
line for each requirement; the exit code is 0 when every MUST is kept. \`--json\` prints the same for programs, \`--only C-SND\` plays a part of it,
\`--jobs N\` sets how many clients run at a time (6; fewer on a slow machine: some requirements are about time).

The gateway of the kit reads and writes with the code of the real one, from the same tables. What it does is not what a real one does on
its own accord: no gateway loses an ack when it is asked to.

## What your program has to do

The environment says where the gateway is:

| variable | |
|---|---|
| \`IM_URL\` | \`ws://127.0.0.1:PORT/ws\` |
| \`IM_TOKEN_URL\` | each GET answers a fresh token, the body is the token: for user \`ann\`, device \`phone\` |

It connects at once and stays connected. On its standard input it reads commands, one JSON object a line, and ends when the input ends, not before:

| command | |
|---|---|
| \`{"do":"send","ref":"1","to":"bob","content":"hi"}\` | send a message |
| \`{"do":"close"}\` | the user leaves: close the connection for good |

On its standard output it writes what its application would be told, one JSON object a line; other lines are shown where something fails, like those of standard error:

| event | when |
|---|---|
| \`{"event":"sent","ref":"1","sequence_number":7}\` | the message of that \`ref\` was accepted |
| \`{"event":"failed","ref":"1","error_code":"RECIPIENT_NOT_FOUND"}\` | it was refused for good |
| \`{"event":"message","msg_id":"m1","conversation":"bob","content":"hi","sequence_number":1}\` | a message is shown; \`conversation\` is the other user, or the group |
| \`{"event":"gap","conversation":"bob","after":1,"before":4}\` | numbers 2 and 3 are missing: this is where a client fetches the history; the kit has none, so a client that asks it first is told of none and tells this |
| \`{"event":"ended","code":4409}\` | the client will not come back by itself |

[\`examples/python/conformance.py\`](../examples/python/conformance.py) and
[\`examples/javascript/conformance.mjs\`](../examples/javascript/conformance.mjs) are such programs, around a client in Python and the project's own; a test runs both.
The programs of [the guide](write-a-client.md) keep to everything as they stand there.

## What is judged

MUST: without it messages are lost or shown twice, or the gateway is harmed. SHOULD: without it users wait.

| id | | a client |
|---|---|---|
${rows.join('\n')}
`
}
