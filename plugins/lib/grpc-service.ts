/** Turns the generic service definitions of ts-proto into the definitions that grpc-js serves and calls. */
import type {
  handleBidiStreamingCall, handleClientStreamingCall, handleServerStreamingCall, handleUnaryCall, MethodDefinition
} from '@grpc/grpc-js'
import { asBuffer } from './bytes.ts'

/** How a message type is written and read. */
export interface Codec<T> {
  encode (message: T): { finish (): Uint8Array }
  decode (input: Uint8Array): T
}

/** One method as ts-proto generates it. */
export interface GenericMethod {
  readonly name: string
  readonly requestType: Codec<unknown>
  readonly requestStream: boolean
  readonly responseType: Codec<unknown>
  readonly responseStream: boolean
}

/** One service as ts-proto generates it (`outputServices=generic-definitions`). */
export interface GenericService {
  readonly fullName: string
  readonly methods: Readonly<Record<string, GenericMethod>>
}

export type RequestOf<M extends GenericMethod> = M['requestType'] extends Codec<infer T> ? T : never
export type ResponseOf<M extends GenericMethod> = M['responseType'] extends Codec<infer T> ? T : never
export type MethodOf<M extends GenericMethod> = MethodDefinition<RequestOf<M>, ResponseOf<M>>

/** The grpc-js definition of a service, method by method, with the types of its messages. */
export type ServiceOf<S extends GenericService> = { readonly [Name in keyof S['methods']]: MethodOf<S['methods'][Name]> }

type HandlerOf<M extends GenericMethod> = M['requestStream'] extends true
  ? M['responseStream'] extends true
    ? handleBidiStreamingCall<RequestOf<M>, ResponseOf<M>>
    : handleClientStreamingCall<RequestOf<M>, ResponseOf<M>>
  : M['responseStream'] extends true
    ? handleServerStreamingCall<RequestOf<M>, ResponseOf<M>>
    : handleUnaryCall<RequestOf<M>, ResponseOf<M>>

/** What has to be written to serve a service. */
export type HandlersOf<S extends GenericService> = { [Name in keyof S['methods']]: HandlerOf<S['methods'][Name]> }

/** One method of a service, ready for `client.makeUnaryRequest` and the like or for `server.addService`. */
export function methodDefinition<M extends GenericMethod> (serviceName: string, method: M): MethodOf<M> {
  const definition: MethodDefinition<unknown, unknown> = {
    path: `/${serviceName}/${method.name}`,
    originalName: method.name,
    requestStream: method.requestStream,
    responseStream: method.responseStream,
    requestSerialize: (message) => serialize(method.requestType, message),
    requestDeserialize: (bytes) => method.requestType.decode(bytes),
    responseSerialize: (message) => serialize(method.responseType, message),
    responseDeserialize: (bytes) => method.responseType.decode(bytes)
  }
  return definition as MethodOf<M>
}

/** A whole service; the keys are those of the generated definition (`pushMessage`). */
export function serviceDefinition<S extends GenericService> (service: S): ServiceOf<S> {
  const methods: Record<string, unknown> = {}
  for (const [key, method] of Object.entries(service.methods)) methods[key] = methodDefinition(service.fullName, method)
  return methods as ServiceOf<S>
}

function serialize (codec: Codec<unknown>, message: unknown): Buffer {
  return asBuffer(codec.encode(message).finish())
}
