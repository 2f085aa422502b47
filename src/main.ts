/** The process: command line, start, signals, exit code. 0: ended as asked; 1: failed or not in time; 64 and 78 are of the command line. */
import closeWithGrace from 'close-with-grace'
import cluster from 'node:cluster'
import { openLog, type Log } from '../plugins/lib/log-stream.ts'
import { supportsReusePort } from '../plugins/lib/worker-process.ts'
import { command, EXIT_USAGE } from './cli.ts'
import type { Config } from './config.ts'
import type { DrainTimes } from './connections/drain.ts'
import { systemClock } from './embedded/system-clock.ts'
import { Lifecycle, PRIMARY_MARGIN_MS, type Running } from './lifecycle.ts'
import type { Primary } from './primary.ts'
import { serve } from './serve.ts'
import type { WorkerOptions } from './worker.ts'

/** Handlers for these would keep a broken process alive (signal(7)), or end a healthy one that has nothing to do for a moment. */
const LEFT_ALONE = ['SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV', 'SIGUSR2', 'beforeExit'] as const

const asked = command(process.argv.slice(2), process.env)
if (asked.kind === 'run' && (asked.settings.config.workers.index === undefined || process.send !== undefined)) {
  await run(asked.settings.config)
} else if (asked.kind === 'run') {
  process.exitCode = EXIT_USAGE
  process.stderr.write('--worker is how the gateway starts its own processes: set WORKERS instead\n')
} else {
  process.exitCode = asked.code
  process.stdout.write(asked.out ?? '')
  process.stderr.write(asked.err ?? '')
}

async function run (config: Config): Promise<void> {
  const { logger, lastWords, flush } = openLog({ level: config.log.level, nodeId: config.node.nodeId })
  const { count, index } = config.workers
  const isWorker = index !== undefined
  const isPrimary = count > 1 && !isWorker
  const marginMs = isPrimary ? PRIMARY_MARGIN_MS : 0
  const lifecycle = new Lifecycle({ clock: systemClock, logger, drainDelayMs: config.drain.delayMs, drainTimeoutMs: config.drain.timeoutMs + marginMs })
  let primary: Primary | undefined
  let times: DrainTimes | undefined

  const grace = closeWithGrace({
    delay: false,
    logger: false,
    // A signal that reaches the whole group is told to the workers by their primary, and by that only once.
    skip: isWorker ? [...LEFT_ALONE, 'SIGINT', 'SIGTERM'] : [...LEFT_ALONE],
    onSecondSignal: (signal) => {
      lastWords.warn({ signal }, 'second signal, the node ends at once')
      primary?.kill()
    },
    onSecondError: (error) => { lastWords.fatal({ err: error }, 'second error, the node ends at once') }
  }, async ({ signal, err, manual }) => {
    // A promise may be rejected with nothing at all.
    const failure = signal === undefined && manual !== true ? err ?? new Error('rejected without a reason') : undefined
    try {
      await lifecycle.end({ signal, error: failure, times })
    } catch (error) {
      logger.fatal({ err: error }, 'the node did not end as it should')
      throw error
    } finally {
      await flush()
      primary?.kill()
    }
    if (failure !== undefined) throw failure
  })

  try {
    // Each kind of process loads its own part: the primary has no need for a whole gateway in memory.
    if (isWorker) {
      const { openWorker } = await import('./worker.ts')
      const line = lineToPrimary((told) => {
        times = told
        grace.close()
      })
      await lifecycle.start(() => openWorker({ config, logger, ...line }))
    } else if (isPrimary) {
      const { openPrimary } = await import('./primary.ts')
      await lifecycle.start(async () => {
        primary = await openPrimary(config, logger, process.argv[1] as string)
        return primary
      })
      await primary?.serving
    } else {
      await lifecycle.start(() => open(config, logger))
    }
  } catch (error) {
    logger.fatal({ err: error }, 'the node cannot start')
    await flush()
    process.exit(1)
  }
}

/** What a worker hears and says. SIGTERM, and the primary's death, end it as the primary would, in the worker's own time. */
function lineToPrimary (close: (times?: DrainTimes) => void): Pick<WorkerOptions, 'reusePort' | 'send' | 'onMessage' | 'end'> {
  let ending = false
  const end = (times?: DrainTimes): void => {
    if (ending) return
    ending = true
    close(times)
  }
  process.on('SIGINT', () => { /* the terminal sends it to all of a group; the primary says what it means */ })
  process.on('SIGTERM', () => { end() })
  process.once('disconnect', () => { end() })
  // Node would end the process at once when its primary is gone; clients are told first.
  if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true
  return {
    reusePort: supportsReusePort(),
    send: (message) => { process.send?.(message) },
    onMessage: (receive) => { process.on('message', receive) },
    end
  }
}

async function open (config: Config, logger: Log['logger']): Promise<Running> {
  const { build } = await import('./app.ts')
  return await serve(await build(config, { logger }), { host: config.ws.host, port: config.ws.port })
}
