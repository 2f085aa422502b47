/** docs/asyncapi.yaml: the WebSocket protocol for machines, from the same tables as docs/protocol.md (AsyncAPI 3.0). The gateway is the application: it receives what clients send. */
import { stringify } from 'yaml'
import { CLOSE } from '../../src/protocol/close-codes.ts'
import { ID_PATTERN, type ClientFrameType, type ServerFrameType } from '../../src/protocol/frames.ts'
import { SUBPROTOCOL } from '../../src/protocol/subprotocol.ts'
import { readVersion } from '../../src/version.ts'
import { CLIENT_FRAMES } from './client-frames.ts'
import type { FrameDoc } from './schema-text.ts'
import { SERVER_FRAMES } from './server-frames.ts'

const CHANNEL = { $ref: '#/channels/socket' }

/** What a client's frame is answered by. */
const REPLIES: Readonly<Record<ClientFrameType, readonly ServerFrameType[]>> = {
  send_msg: ['ack', 'error'], ack: [], heartbeat: ['heartbeat'], auth: ['auth', 'error']
}

export function asyncapi (): object {
  const messages = { ...messagesOf(CLIENT_FRAMES, 'client'), ...messagesOf(SERVER_FRAMES, 'gateway') }
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'IM gateway, WebSocket protocol',
      version: readVersion(),
      description: `Text frames, each one JSON object with a type. Subprotocol ${SUBPROTOCOL}. All times are Unix milliseconds. Fields that the other side does not know are ignored. In words: protocol.md.`,
      license: { name: 'Apache-2.0' }
    },
    defaultContentType: 'application/json',
    servers: {
      node: { host: 'gateway.example', protocol: 'wss', description: 'Any node, or the load balancer before them', security: [{ $ref: '#/components/securitySchemes/bearer' }, { $ref: '#/components/securitySchemes/subprotocol' }] }
    },
    channels: {
      socket: {
        address: '/ws',
        messages: Object.fromEntries(Object.keys(messages).map((name) => [name, { $ref: `#/components/messages/${name}` }])),
        bindings: {
          ws: {
            method: 'GET',
            query: { type: 'object', properties: { device_id: { type: 'string', pattern: ID_PATTERN, description: 'Only where the token names no device' }, token: { type: 'string', description: 'Only where the gateway allows it' } } },
            headers: { type: 'object', properties: { Authorization: { type: 'string' }, 'Sec-WebSocket-Protocol': { type: 'string', examples: [`${SUBPROTOCOL}, bearer.<token>`] } } },
            bindingVersion: '0.1.0'
          }
        }
      }
    },
    operations: { ...receiving(), ...sending() },
    components: {
      messages,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        subprotocol: { type: 'httpApiKey', in: 'header', name: 'Sec-WebSocket-Protocol', description: 'bearer.<token> beside the subprotocol, for browsers' }
      }
    },
    'x-close-codes': Object.values(CLOSE)
  }
}

export function asyncapiPage (): string {
  return `# Written by scripts/generate-docs.ts from src/protocol and scripts/docs; do not edit.\n${stringify(plain(asyncapi()), { lineWidth: 0, aliasDuplicateObjects: false })}`
}

function messagesOf (docs: Readonly<Record<string, FrameDoc>>, from: string): Record<string, object> {
  return Object.fromEntries(Object.entries(docs).map(([type, { about, examples, schema, fields }]) => {
    const properties = Object.entries<object>(schema.properties).map(([name, shape]) => [name, fields[name] ? { ...shape, description: fields[name] } : shape])
    const payload = { ...schema, properties: Object.fromEntries(properties) as object, ...(type === 'ack' && from === 'client' && { anyOf: [{ required: ['msg_id'] }, { required: ['msg_ids'] }] }) }
    return [`${from}_${type}`, { name: type, title: `${type} from ${from}`, summary: about, payload, examples: examples.map((example) => ({ payload: example })) }]
  }))
}

function receiving (): Record<string, object> {
  return Object.fromEntries(Object.entries(REPLIES).map(([type, replies]) => [`receive_${type}`, {
    action: 'receive',
    channel: CHANNEL,
    messages: [onChannel('client', type)],
    ...(replies.length > 0 && { reply: { channel: CHANNEL, messages: replies.map((reply) => onChannel('gateway', reply)) } })
  }]))
}

function sending (): Record<string, object> {
  return Object.fromEntries(Object.keys(SERVER_FRAMES).map((type) => [`send_${type}`, { action: 'send', channel: CHANNEL, messages: [onChannel('gateway', type)] }]))
}

function onChannel (from: string, type: string): object {
  return { $ref: `#/channels/socket/messages/${from}_${type}` }
}

/** As JSON sees it: without what TypeBox keeps for itself. */
function plain (value: object): object {
  return JSON.parse(JSON.stringify(value)) as object
}
