/** The gateway's inside, put together: everything that a socket, a push or a group record meets. No I/O of its own. */
import type { Authenticator, Clock, ImService, Logger, Meter, Registry, SocketDriver, Tracer } from './ports.ts'
import type { Connection } from './connections/connection.ts'
import { Heartbeat } from './connections/heartbeat.ts'
import { Hub } from './connections/hub.ts'
import { Inbound } from './connections/inbound.ts'
import { Outbox } from './connections/outbox.ts'
import { RateLimits } from './connections/rate-limits.ts'
import { Sessions } from './connections/sessions.ts'
import { Tracker } from './delivery/tracker.ts'
import { Recorder } from './explain/recorder.ts'
import type { CloseKind } from './protocol/close-codes.ts'
import type { CallPolicy } from './upstream/policy.ts'
import { Sender } from './upstream/sender.ts'

export interface CoreOptions {
  readonly driver: SocketDriver
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  readonly tracer?: Tracer | undefined
  readonly registry: Registry
  readonly authenticator: Authenticator
  readonly im: ImService
  /** Deadline, retry and breaker of the IM Service. */
  readonly imPolicy: Pick<CallPolicy, 'run'>
  readonly nodeId: string
  /** Begins every connection id of this process. */
  readonly startId: string
  readonly maxMessageBytes: number
  readonly heartbeatIntervalMs: number
  readonly heartbeatTimeoutMs: number
  readonly messagesPerSecond: number
  readonly outboxBytes: number
  readonly outboxTotalBytes: number
  readonly writeBufferBytes: number
  readonly writeWaitMs: number
  readonly maxSendsInFlight: number
  readonly sendQueueTimeoutMs: number
  readonly maxPendingPushes: number
  readonly maxPendingBytes: number
  /** What is remembered of messages; no entries: nothing. */
  readonly explain: { readonly entries: number, readonly bytes: number }
  /** 0 to 1. */
  readonly random: () => number
}

export interface Core {
  readonly hub: Hub
  readonly outbox: Outbox
  readonly inbound: Inbound
  readonly heartbeat: Heartbeat
  readonly sessions: Sessions
  readonly tracker: Tracker
  readonly sender: Sender
  readonly recorder: Recorder | undefined
  start (): void
  stop (): void
}

export function createCore (options: CoreOptions): Core {
  const { driver, clock, meter, logger, registry } = options
  const close = (connection: Connection, kind: CloseKind): void => { sessions.close(connection, kind) }
  const hub = new Hub()
  const recorder = options.explain.entries === 0 ? undefined : new Recorder({ clock, ...options.explain })
  const outbox = new Outbox({
    driver,
    clock,
    meter,
    outboxBytes: options.outboxBytes,
    outboxTotalBytes: options.outboxTotalBytes,
    writeBufferBytes: options.writeBufferBytes,
    writeWaitMs: options.writeWaitMs,
    onSlow: (connection) => { close(connection, 'slowConsumer') },
    onWritten: (connection, stalledBytes) => { tracker.written(connection, stalledBytes) }
  })
  const tracker = new Tracker({ clock, meter, outbox, recorder, maxPending: options.maxPendingPushes, maxPendingBytes: options.maxPendingBytes })
  const sender = new Sender({
    im: options.im,
    policy: options.imPolicy,
    outbox,
    clock,
    meter,
    logger,
    tracer: options.tracer,
    recorder,
    maxPending: options.maxSendsInFlight,
    queueTimeoutMs: options.sendQueueTimeoutMs,
    onSettled: (connection) => { inbound.resume(connection) }
  })
  const heartbeat = new Heartbeat({
    hub, driver, clock, intervalMs: options.heartbeatIntervalMs, timeoutMs: options.heartbeatTimeoutMs, random: options.random, close
  })
  const inbound = new Inbound({
    driver,
    clock,
    meter,
    logger,
    recorder,
    outbox,
    limits: new RateLimits({ clock, messagesPerSecond: options.messagesPerSecond }),
    authenticator: options.authenticator,
    registry,
    sender,
    tracker,
    heartbeat,
    close
  })
  const sessions = new Sessions({
    nodeId: options.nodeId,
    startId: options.startId,
    maxMessageBytes: options.maxMessageBytes,
    heartbeatIntervalMs: options.heartbeatIntervalMs,
    heartbeatTimeoutMs: options.heartbeatTimeoutMs,
    hub,
    driver,
    clock,
    meter,
    logger,
    recorder,
    outbox,
    inbound,
    heartbeat,
    registry,
    tracker
  })
  return {
    hub,
    outbox,
    inbound,
    heartbeat,
    sessions,
    tracker,
    sender,
    recorder,
    start: () => { heartbeat.start() },
    stop: () => { heartbeat.stop() }
  }
}
