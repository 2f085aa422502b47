/** The process: command line, start, signals, exit code. 0: ended as asked; 1: failed or not in time; 64 and 78 are of the command line. */
import closeWithGrace from 'close-with-grace'
import { openLog, type Log } from '../plugins/lib/log-stream.ts'
import { build } from './app.ts'
import { command } from './cli.ts'
import type { Config } from './config.ts'
import { systemClock } from './embedded/system-clock.ts'
import { Lifecycle, type Running } from './lifecycle.ts'

/** Handlers for these would keep a broken process alive (signal(7)), or end a healthy one that has nothing to do for a moment. */
const LEFT_ALONE = ['SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV', 'SIGUSR2', 'beforeExit'] as const

const asked = command(process.argv.slice(2), process.env)
if (asked.kind === 'run') {
  await run(asked.settings.config)
} else {
  process.exitCode = asked.code
  process.stdout.write(asked.out ?? '')
  process.stderr.write(asked.err ?? '')
}

async function run (config: Config): Promise<void> {
  const { logger, lastWords, flush } = openLog({ level: config.log.level, nodeId: config.node.nodeId })
  const lifecycle = new Lifecycle({ clock: systemClock, logger, drainDelayMs: config.drain.delayMs, drainTimeoutMs: config.drain.timeoutMs })

  closeWithGrace({
    delay: false,
    logger: false,
    skip: [...LEFT_ALONE],
    onSecondSignal: (signal) => { lastWords.warn({ signal }, 'second signal, the node ends at once') },
    onSecondError: (error) => { lastWords.fatal({ err: error }, 'second error, the node ends at once') }
  }, async ({ signal, err }) => {
    // A promise may be rejected with nothing at all.
    const failure = signal === undefined ? err ?? new Error('rejected without a reason') : undefined
    try {
      await lifecycle.end({ signal, error: failure })
    } catch (error) {
      logger.fatal({ err: error }, 'the node did not end as it should')
      throw error
    } finally {
      await flush()
    }
    if (failure !== undefined) throw failure
  })

  try {
    await lifecycle.start(() => open(config, logger))
  } catch (error) {
    logger.fatal({ err: error }, 'the node cannot start')
    await flush()
    process.exit(1)
  }
}

/** Builds and listens; what was opened is closed where the start fails. */
async function open (config: Config, logger: Log['logger']): Promise<Running> {
  const app = await build(config, { logger })
  try {
    await app.listen({ host: config.ws.host, port: config.ws.port })
  } catch (error) {
    await app.close()
    throw error
  }
  return { drain: app.drain, close: () => app.close() }
}
