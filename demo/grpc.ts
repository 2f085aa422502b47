/** A gRPC server on loopback for one stand-in service. */
import { promisify } from 'node:util'
import { Server, ServerCredentials, status, type handleUnaryCall, type ServerOptions, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js'
import { serviceDefinition, type GenericService, type HandlersOf } from '../plugins/lib/grpc-service.ts'

/** A service that listens. */
export interface GrpcHost {
  /** `host:port`. */
  readonly address: string
  /** Lets calls under way end for at most a second, then cuts them. */
  close (): Promise<void>
}

const CLOSE_TIMEOUT_MS = 1_000

/** Serves one service; port 0 takes a free one. Rejects where the port is taken. */
export async function serveGrpc<S extends GenericService> (service: S, handlers: HandlersOf<S>, port = 0, options: ServerOptions = {}): Promise<GrpcHost> {
  const server = new Server({ 'grpc.enable_channelz': 0, ...options })
  server.addService(serviceDefinition(service) as unknown as ServiceDefinition, handlers as unknown as UntypedServiceImplementation)
  const bound = await promisify(server.bindAsync.bind(server))(`127.0.0.1:${port}`, ServerCredentials.createInsecure())
  return {
    address: `127.0.0.1:${bound}`,
    close: () => new Promise((resolve) => {
      const timer = setTimeout(() => { server.forceShutdown() }, CLOSE_TIMEOUT_MS)
      server.tryShutdown(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
}

/** A unary handler from a function that answers or rejects; a rejection is INTERNAL, whose text stays between services. */
export function unary<Req, Res> (answer: (request: Req) => Promise<Res> | Res): handleUnaryCall<Req, Res> {
  return (call, callback) => {
    void Promise.resolve(call.request).then(answer).then(
      (response) => { callback(null, response) },
      (error: unknown) => { callback({ code: status.INTERNAL, details: error instanceof Error ? error.message : 'failed' }) })
  }
}
