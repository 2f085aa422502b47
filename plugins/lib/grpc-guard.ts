/** Stands before every call: refuses those that come too early or too late, and those whose callers are not known, before their messages are read. */
import type { Writable } from 'node:stream'
import { ServerInterceptingCall, status, type Metadata, type ServerInterceptor } from '@grpc/grpc-js'
import type { Meter } from '../../src/ports.ts'
import type { Caller } from './grpc-credentials.ts'

type InterceptedCall = Parameters<ServerInterceptor>[1]
type Result = Parameters<InterceptedCall['sendStatus']>[0]

export interface GrpcGuardOptions {
  readonly isAllowed: (caller: Caller) => boolean
  readonly meter: Meter
  /** Path prefix of the calls that the owner ends by itself when it closes. */
  readonly ownPrefix: string
}

/** Open to everybody and at any time: Kubernetes' probes carry no credentials. */
const HEALTH_PREFIX = '/grpc.health.v1.Health/'
const SHUTTING_DOWN: Result = { code: status.UNAVAILABLE, details: 'the node is shutting down' }

export class GrpcGuard {
  /** Calls are taken. */
  isOpen = false
  readonly #options: GrpcGuardOptions
  readonly #own = new Set<InterceptedCall>()
  /** Calls of other services, some of which (`Watch`) never end by themselves. */
  readonly #others = new Set<InterceptedCall>()

  constructor (options: GrpcGuardOptions) {
    this.#options = options
  }

  readonly interceptor: ServerInterceptor = (method, call) => {
    const calls = method.path.startsWith(this.#options.ownPrefix) ? this.#own : this.#others
    calls.add(call)
    return new ServerInterceptingCall(call, {
      start: (next) => {
        next({
          onReceiveMetadata: (metadata, pass) => {
            const refusal = this.#refusal(method.path, metadata, call)
            if (refusal === undefined) pass(metadata)
            else end(calls, call, refusal)
          },
          onCancel: () => { calls.delete(call) }
        })
      },
      // An answer to what came before a message that cannot be read: grpc-js has ended the stream by then, and a write after
      // that breaks it before its status is out (server-interceptors.js of 1.14).
      sendMessage: (message, next) => { if (!hasEnded(call)) next(message) },
      sendStatus: (result, next) => {
        calls.delete(call)
        next(result)
      }
    })
  }

  /** Ends the calls of other services. */
  endOthers (): void {
    for (const call of this.#others) end(this.#others, call, SHUTTING_DOWN)
  }

  /** Ends all calls. `forceShutdown` of grpc-js 1.14 does not: without channelz it knows of no session. */
  endAll (): void {
    this.endOthers()
    for (const call of this.#own) end(this.#own, call, SHUTTING_DOWN)
  }

  #refusal (path: string, metadata: Metadata, call: InterceptedCall): Result | undefined {
    if (path.startsWith(HEALTH_PREFIX)) return undefined
    const { isAllowed, meter } = this.#options
    if (!isAllowed({ metadata, certificate: call.getAuthContext().sslPeerCertificate })) {
      meter.count('grpc_unauthenticated_total')
      return { code: status.UNAUTHENTICATED, details: 'the caller is not known' }
    }
    return this.isOpen ? undefined : { code: status.UNAVAILABLE, details: 'the node takes no calls' }
  }
}

/** The call that all others stand on has the HTTP/2 stream. */
function hasEnded (call: InterceptedCall): boolean {
  return (call as InterceptedCall & { readonly stream?: Pick<Writable, 'writableEnded'> }).stream?.writableEnded === true
}

function end (calls: Set<InterceptedCall>, call: InterceptedCall, result: Result): void {
  calls.delete(call)
  call.sendStatus(result)
}
