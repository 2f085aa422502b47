/** The one table of variables: `loadConfig`, `--help`, `--print-config` and the reference page all read it. */
import type { ValueOf, Variable } from './variable.ts'
import { HANDSHAKE, LIFE, NODE, OVERLOAD, WEBSOCKET } from './variables-edge.ts'
import { AUTH, GRPC, UPSTREAM } from './variables-services.ts'
import { ETCD, GROUPS, KAFKA, REDIS } from './variables-stores.ts'

export interface Section { readonly title: string, readonly rows: Readonly<Record<string, Variable>> }

/** In the order in which they are printed. */
export const SECTIONS: readonly Section[] = [
  { title: 'Node', rows: NODE },
  { title: 'WebSocket', rows: WEBSOCKET },
  { title: 'Handshake', rows: HANDSHAKE },
  { title: 'Tokens and the Auth Service', rows: AUTH },
  { title: 'IM and User Service', rows: UPSTREAM },
  { title: 'gRPC server and pushes', rows: GRPC },
  { title: 'etcd and the registry', rows: ETCD },
  { title: 'Redis', rows: REDIS },
  { title: 'Kafka', rows: KAFKA },
  { title: 'Groups', rows: GROUPS },
  { title: 'Overload', rows: OVERLOAD },
  { title: 'Shutdown and administration', rows: LIFE }
]

const ALL = { ...NODE, ...WEBSOCKET, ...HANDSHAKE, ...AUTH, ...UPSTREAM, ...GRPC, ...ETCD, ...REDIS, ...KAFKA, ...GROUPS, ...OVERLOAD, ...LIFE }

export type VariableName = keyof typeof ALL
export const VARIABLES: Readonly<Record<VariableName, Variable>> = ALL
export const VARIABLE_NAMES = Object.keys(ALL) as VariableName[]

/** What the environment says, in milliseconds, bytes, numbers, booleans, strings and lists. */
export type Values = { readonly [Name in VariableName]: ValueOf<typeof ALL[Name]> }
