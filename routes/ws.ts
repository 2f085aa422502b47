/**
 * `/ws`: everything that can refuse a client does so before the upgrade, as a plain HTTP answer [GW-CON-1]; after it the
 * socket belongs to its session. The order is from cheap to dear: overload, address, form and Origin, token, user, devices.
 */
import fp from 'fastify-plugin'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../src/ports.ts'
import type { ErrorCode } from '../src/errors.ts'
import { deviceOf, originOf, readHandshake, upgradeFault } from '../src/protocol/handshake.ts'
import { originAllowed, originRules } from '../src/protocol/origin.ts'
import type { Accepted } from '../src/connections/sessions.ts'
import { refuse } from './lib/refuse.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** What the handshake found out; null until it is done. */
    accepted: Accepted | null
  }
}

export interface WsRouteOptions {
  readonly clock: Clock
  readonly path: string
  readonly allowQueryToken: boolean
  readonly allowedOrigins: readonly string[]
  readonly allowEmptyOrigin: boolean
  /** Why no upgrade is served now (draining, overloaded); undefined: they are. */
  readonly refusal: () => ErrorCode | undefined
  /** A client was let in. */
  readonly onAccepted: () => void
}

export default fp<WsRouteOptions>(async function wsRoute (fastify, options) {
  const rules = originRules(options.allowedOrigins, options.allowEmptyOrigin)

  const refused = (request: FastifyRequest, reply: FastifyReply, code: ErrorCode, retryAfterS?: number): FastifyReply => {
    fastify.meter.count('handshake_failures_total', 1, code)
    request.log.debug({ code }, 'upgrade refused')
    return refuse(reply, code, retryAfterS)
  }

  fastify.decorateRequest('accepted', null)
  fastify.route({
    method: 'GET',
    url: options.path,
    preValidation: async (request, reply) => {
      if (!request.ws) return
      const receivedAtMs = options.clock.monotonicMs()
      const refusal = options.refusal()
      if (refusal !== undefined) return refused(request, reply, refusal)
      const addressWaitS = await fastify.handshakeLimits.address(request)
      if (addressWaitS !== undefined) return refused(request, reply, 'RATE_LIMIT_EXCEEDED', addressWaitS)

      const { rawHeaders } = request.raw
      const fault = upgradeFault(rawHeaders)
      if (fault !== undefined) return refused(request, reply, fault)
      const reading = readHandshake(rawHeaders, request.raw.url ?? '', options)
      if (!reading.ok && reading.code === 'INVALID_MESSAGE') return refused(request, reply, reading.code)
      const origin = originOf(rawHeaders)
      if (!originAllowed(rules, origin, request.host)) {
        fastify.meter.count('origin_refused_total')
        request.log.warn({ origin }, 'origin refused')
        return refused(request, reply, 'ORIGIN_NOT_ALLOWED')
      }
      if (!reading.ok) return refused(request, reply, reading.code)

      const { token, queryDeviceId } = reading.handshake
      const result = await fastify.authenticator.authenticate(token)
      if (!result.ok) return refused(request, reply, result.code)
      const { identity } = result
      const deviceId = deviceOf(identity.deviceId, queryDeviceId)
      if (deviceId === undefined) return refused(request, reply, 'INVALID_DEVICE')
      // Asked again, for this device: the token may name none [GW-CON-2].
      if (fastify.registry.isRevoked(identity.userId, deviceId, identity.issuedAtMs)) return refused(request, reply, 'TOKEN_REVOKED')
      const userWaitS = await fastify.handshakeLimits.user(request, identity.userId)
      if (userWaitS !== undefined) return refused(request, reply, 'RATE_LIMIT_EXCEEDED', userWaitS)

      const admission = await fastify.registry.admit(identity.userId, deviceId)
      if (!admission.ok) return refused(request, reply, admission.code)
      // A drain that has ended meanwhile closes nobody any more.
      if (options.refusal() === 'SERVER_SHUTDOWN') return refused(request, reply, 'SERVER_SHUTDOWN')
      request.accepted = { identity, deviceId, revision: admission.revision, receivedAtMs }
    },
    handler: async (_request, reply) => refuse(reply, 'UPGRADE_REQUIRED'),
    wsHandler: (socket, request) => {
      options.onAccepted()
      fastify.gateway.accept(socket, request.raw, request.accepted as Accepted)
    }
  })
}, { name: 'ws-route', fastify: '5.x', dependencies: ['connections', 'rate-limit'] })
