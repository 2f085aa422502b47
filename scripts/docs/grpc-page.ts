/** docs/grpc.md from proto/: services, calls, messages, and what each code means to the gateway. */
import { readFileSync } from 'node:fs'
import { Metadata, status } from '@grpc/grpc-js'
import protobuf from 'protobufjs'
import { ERRORS, type ErrorCode, GatewayError } from '../../src/errors.ts'
import { AuthErrorCode } from '../../src/generated/auth/v1/auth.ts'
import { IMErrorCode } from '../../src/generated/im/v1/im.ts'
import { UserErrorCode } from '../../src/generated/user/v1/user.ts'
import { MAX_PRESENCE_USERS, MAX_REASON_LENGTH } from '../../src/delivery/field-limits.ts'
import { MAX_FRAME_BYTES, MAX_METADATA_KEYS, MESSAGE_TYPES } from '../../src/protocol/frames.ts'
import { MAX_BATCH_BYTES, MAX_BATCH_ITEMS } from '../../src/call-batcher.ts'
import { authRefusal, checkUserError, imError } from '../../src/upstream/service-errors.ts'
import { grpcError } from '../../plugins/lib/grpc-errors.ts'
import { MAX_CONCURRENT_STREAMS, MAX_STREAM_MESSAGE_BYTES } from '../../plugins/lib/grpc-server.ts'
import { MAX_OUTSTANDING, MAX_UNARY_BYTES } from '../../plugins/lib/push-handlers.ts'
import { MAX_REPORT_ITEMS } from '../../plugins/lib/push-stream.ts'
import { SERVED_STATUSES, SERVICES, type ServiceText } from './grpc.ts'
import { code, table, writtenFrom } from './markdown.ts'
import { setting } from './settings.ts'

const KIB = 1024

export function grpcPage (): string {
  return `# gRPC

${writtenFrom('proto/ and scripts/docs/grpc.ts')}

The files are in [\`proto/\`](../proto); names and numbers are fixed, deployed services use them (\`buf breaking\` in \`buf.yaml\`). An application's refusal comes inside an OK reply (\`error_code\`,
\`error_message\`), a failure of the call as gRPC status.

- **Credentials.** Callers of the gateway show \`authorization: Bearer\` with \`GRPC_AUTH_TOKEN\`, or a certificate with one of \`GRPC_TLS_ALLOWED_SANS\`; with neither set the server binds to loopback only.
  \`grpc.health.v1.Health\` asks for none. \`GRPC_REFLECTION=true\` turns server reflection on. The services are called over TLS with \`UPSTREAM_TLS\`.
- **Limits of the gateway's server.** Unary messages ${MAX_UNARY_BYTES / KIB} KiB, stream messages ${MAX_STREAM_MESSAGE_BYTES / KIB / KIB} MiB, ${MAX_CONCURRENT_STREAMS.toLocaleString('en')} streams a connection; a PushStream with ${MAX_OUTSTANDING.toLocaleString('en')} pushes without a report is not read until some settle,
  and a report has ${MAX_REPORT_ITEMS.toLocaleString('en')} items at most. Connections are asked to be renewed after ${setting('GRPC_MAX_CONNECTION_AGE')}, PushStreams after half of that.
- **Batches of the gateway's own streams.** ${MAX_BATCH_ITEMS} items or ${MAX_BATCH_BYTES / KIB} KiB at most; replies in any order.
- **Keepalive.** While a call to a service is open and nothing is heard, the gateway pings every ${setting('UPSTREAM_KEEPALIVE_INTERVAL')} and gives the connection up after ${setting('UPSTREAM_KEEPALIVE_TIMEOUT')}. Servers in Go have to
  permit it: \`keepalive.EnforcementPolicy{MinTime: 4 * time.Second}\`.
- **Traces.** W3C \`traceparent\` in the metadata of unary calls, beside each item in streams.

${SERVICES.map(serviceText).join('\n\n')}

## Limits of the fields that callers of the gateway send

Otherwise INVALID_ARGUMENT, naming the field [GW-ACK-6]. Strings and numbers that are absent count as empty and 0.

- \`msg_id\`, \`device_id\`, \`exclude_device_id\`: 1–64 of \`A-Za-z0-9._:-\`; the last two may be empty, and are not the same device. \`recipient_id\`, \`sender_id\`, \`reader_id\`, \`conversation_id\`, \`user_id\`: 1–128 characters, no control characters.
- \`sequence_number\`, \`timestamp\`, \`read_at\`: 0 to 2^53−1, for clients get them as JSON numbers. \`message_type\`: ${MESSAGE_TYPES.map(code).join(' ')}; empty is ${code('text')}.
- \`metadata\`: ${MAX_METADATA_KEYS} keys. \`content\` and \`metadata\` together have to fit a frame of ${MAX_FRAME_BYTES / KIB} KiB. \`user_ids\`: ${MAX_PRESENCE_USERS}. \`reason\`: ${MAX_REASON_LENGTH} characters, for the log alone.

## Codes

### What callers of the gateway are told

In a PushStream a refusal is the \`error_message\` of the item's response: the status, a colon, the details.

${table(['status', 'when', 'call again'], Object.entries(SERVED_STATUSES).map(([name, texts]) => [code(name), ...texts]))}

### What the gateway makes of a service's answer

A status of a call, as the client's \`error_code\`. Where the outcome is unknown or the service was unavailable the call is made once more, in the time that is left. While most calls to a service fail
its breaker is open: calls are refused at once, and one a second tries.

${table(['status', 'client is told', 'tried again'], statuses())}

The IM Service's \`error_code\`; one that this version does not know counts as \`INTERNAL_ERROR\`.

${table(['IMErrorCode', 'client is told', 'retryable'], codes(IMErrorCode, (value) => imError(value)))}

The Auth Service's \`error_code\` beside \`valid: false\`. \`AUTH_ERROR_CODE_INTERNAL_ERROR\` is no answer, whatever \`valid\` says: it is not remembered.

${table(['AuthErrorCode', 'client is told', 'retryable'], codes(AuthErrorCode, (value) => {
  const refusal = authRefusal(value)
  return refusal === 'no answer' ? 'SERVICE_UNAVAILABLE' : refusal
}))}

The User Service's \`error_code\`; clients are not told, group records are passed over or wait.

${table(['UserErrorCode', 'group records'], Object.entries(UserErrorCode).map(([name, value]) => [code(name), userCode(value)]))}
`
}

function serviceText ({ file, title, about, deadlines }: ServiceText): string {
  const path = `proto/${file}`
  const root = protobuf.parse(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8'), new protobuf.Root(), { keepCase: true, alternateCommentMode: true })
  const space = root.root.lookup(root.package ?? '') as protobuf.Namespace
  const nested = space.nestedArray
  const parts = nested.flatMap((each) => each instanceof protobuf.Service ? [callTable(each, deadlines)] : [])
  const messages = nested.flatMap((each) => each instanceof protobuf.Type ? [messageText(each)] : each instanceof protobuf.Enum ? [enumText(each)] : [])
  const [service] = nested.filter((each) => each instanceof protobuf.Service)
  return [`## ${title}: \`${root.package ?? ''}.${service?.name ?? ''}\``, `[\`${path}\`](../${path}). ${about}`, sentence(service?.comment), ...parts, ...messages].filter((text) => text !== '').join('\n\n')
}

function callTable (service: protobuf.Service, deadlines: Readonly<Record<string, string>>): string {
  return table(['call', 'request', 'reply', 'deadline', ''], service.methodsArray.map(({ name, requestType, requestStream, responseType, responseStream, comment }) => {
    const deadline = deadlines[name]
    if (deadline === undefined) throw new RangeError(`scripts/docs/grpc.ts says no deadline for ${name}`)
    const type = (message: string, isStream: boolean | undefined): string => `${isStream === true ? 'stream ' : ''}\`${message}\``
    return [code(name), type(requestType, requestStream), type(responseType, responseStream), deadline, sentence(comment)]
  }))
}

function messageText (type: protobuf.Type): string {
  const rows = type.fieldsArray.map((field) => {
    const many = field instanceof protobuf.MapField ? `map of ${field.keyType} to ${field.type}` : `${field.repeated ? 'repeated ' : ''}${field.type}`
    return [String(field.id), code(field.name), `${field.partOf === null ? '' : 'one of '}${many}`, sentence(field.comment)]
  })
  return [`### ${type.name}`, sentence(type.comment), table(['', 'field', 'type', ''], rows)].filter((text) => text !== '').join('\n\n')
}

function enumText (type: protobuf.Enum): string {
  const rows = Object.entries(type.values).map(([name, value]) => [String(value), code(name), sentence(type.comments[name])])
  return [`### ${type.name}`, sentence(type.comment), table(['', 'value', ''], rows)].filter((text) => text !== '').join('\n\n')
}

function sentence (comment: string | null | undefined): string {
  return (comment ?? '').replaceAll('\n', ' ').trim()
}

function statuses (): string[][] {
  return Object.entries(status).filter(([name, value]) => typeof value === 'number' && name !== 'OK').map(([name, value]) => {
    const { code: told } = grpcError({ code: value as status, details: '', metadata: new Metadata() })
    return [code(name), code(told), told === 'SERVICE_UNAVAILABLE' || told === 'DEADLINE_EXCEEDED' ? 'once' : '']
  })
}

function codes<Code extends number> (values: Readonly<Record<string, Code>>, told: (value: Code) => ErrorCode | undefined): string[][] {
  return Object.entries(values).filter(([, value]) => value !== 0).map(([name, value]) => {
    const answer = told(value)
    return [code(name), answer === undefined ? 'accepted' : code(answer), answer !== undefined && ERRORS[answer].retryable ? 'yes' : 'no']
  })
}

function userCode (value: UserErrorCode): string {
  try {
    checkUserError(value)
    return 'the members are those of the reply'
  } catch (error) {
    return error instanceof GatewayError && error.code === 'GROUP_NOT_FOUND' ? 'passed over, and the group is known as missing for 30 s' : 'wait, and the call is made again'
  }
}
