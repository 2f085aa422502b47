/** The HTTP server that probes, scrapes and upgrades arrive at: its limits and time-outs, without a route. */
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import { errorBody } from '../../src/errors.ts'

const HTTP_TIMEOUT_MS = 5_000
/** What a slow peer gets beyond that, at most: together less than 6 s on a busy machine too. */
const CONNECTIONS_CHECK_MS = 250
const MAX_HEADER_BYTES = 8_192
const MAX_REQUESTS_PER_SOCKET = 1_000
/** Sockets beyond MAX_CONNECTIONS: so that who is over it is told so, and probes and scrapes still get in. */
const SPARE_SOCKETS = 256
const HOLD_MS = 60_000

export interface HttpServerOptions {
  readonly maxConnections: number
  /** Addresses whose X-Forwarded-For counts; none: nobody's. */
  readonly trustedProxies: readonly string[]
  readonly readBufferBytes: number
  /** PEM texts; without them the server speaks plain HTTP. */
  readonly tls?: { readonly cert: string, readonly key: string } | undefined
  /** Without one nothing is logged. */
  readonly logger: FastifyBaseLogger | undefined
}

export function createHttpServer ({ maxConnections, trustedProxies, readBufferBytes, tls, logger }: HttpServerOptions): FastifyInstance {
  const limits = {
    headersTimeout: HTTP_TIMEOUT_MS,
    connectionsCheckingInterval: CONNECTIONS_CHECK_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
    highWaterMark: readBufferBytes
  }
  const app = Fastify({
    ...(logger === undefined ? { logger: false } : { loggerInstance: logger }),
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: trustedProxies.length === 0 ? false : [...trustedProxies],
    requestTimeout: HTTP_TIMEOUT_MS,
    keepAliveTimeout: HTTP_TIMEOUT_MS,
    maxRequestsPerSocket: MAX_REQUESTS_PER_SOCKET,
    // A logger of its own for each request would cost more than a refusal; lines name the connection instead.
    childLoggerFactory: (parent) => parent,
    clientErrorHandler: (error: NodeJS.ErrnoException, socket: Socket) => { answerMalformed(error.code, socket) },
    // Node would wait two minutes for a handshake.
    ...(tls === undefined ? { http: limits } : { https: { ...limits, cert: tls.cert, key: tls.key, handshakeTimeout: HTTP_TIMEOUT_MS } })
  }) as FastifyInstance
  app.server.maxConnections = maxConnections + SPARE_SOCKETS
  holdProcessWhileClosing(app)
  return app
}

/** What is no HTTP request gets a body of the error table as any other refusal, and its socket is closed. */
function answerMalformed (fault: string | undefined, socket: Socket): void {
  const status = fault === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : fault === 'HPE_HEADER_OVERFLOW' ? 431 : 400
  if (socket.writable) {
    const body = JSON.stringify(errorBody('INVALID_MESSAGE'))
    socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  }
  socket.destroy()
}

/** Timers of the core do not keep the process alive, so a close that waits on one would end half-way once the sockets are gone. */
function holdProcessWhileClosing (app: FastifyInstance): void {
  let hold: NodeJS.Timeout | undefined
  app.addHook('preClose', async () => { hold = setInterval(() => {}, HOLD_MS) })
  // The first hook to be added is the last to run.
  app.addHook('onClose', async () => { clearInterval(hold) })
}
