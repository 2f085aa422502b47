/** The HTTP server that probes, scrapes and upgrades arrive at: its limits and time-outs, without a route. */
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify'

const HTTP_TIMEOUT_MS = 5_000
const CONNECTIONS_CHECK_MS = 1_000
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
  /** Without one nothing is logged. */
  readonly logger: FastifyBaseLogger | undefined
}

export function createHttpServer ({ maxConnections, trustedProxies, readBufferBytes, logger }: HttpServerOptions): FastifyInstance {
  const app = Fastify({
    ...(logger === undefined ? { logger: false } : { loggerInstance: logger }),
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: trustedProxies.length === 0 ? false : [...trustedProxies],
    requestTimeout: HTTP_TIMEOUT_MS,
    keepAliveTimeout: HTTP_TIMEOUT_MS,
    maxRequestsPerSocket: MAX_REQUESTS_PER_SOCKET,
    http: {
      headersTimeout: HTTP_TIMEOUT_MS,
      connectionsCheckingInterval: CONNECTIONS_CHECK_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      highWaterMark: readBufferBytes
    }
  })
  app.server.maxConnections = maxConnections + SPARE_SOCKETS
  holdProcessWhileClosing(app)
  return app
}

/** Timers of the core do not keep the process alive, so a close that waits on one would end half-way once the sockets are gone. */
function holdProcessWhileClosing (app: FastifyInstance): void {
  let hold: NodeJS.Timeout | undefined
  app.addHook('preClose', async () => { hold = setInterval(() => {}, HOLD_MS) })
  // The first hook to be added is the last to run.
  app.addHook('onClose', async () => { clearInterval(hold) })
}
