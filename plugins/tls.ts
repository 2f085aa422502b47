/**
 * Renews the certificate of the public port. Its files are read again every ten seconds: Kubernetes exchanges a mounted
 * Secret by a symbolic link, which file watchers miss. New connections get the new one, live ones go on; a pair that does
 * not fit is told and tried again, and the one before stays.
 */
import { readFile } from 'node:fs/promises'
import { createSecureContext, type Server } from 'node:tls'
import fp from 'fastify-plugin'
import type { Clock, Timer } from '../src/ports.ts'

export interface TlsOptions {
  /** PEM texts that the server began with. */
  readonly cert: string
  readonly key: string
  /** Where they came from. */
  readonly files: { readonly cert: string, readonly key: string }
  readonly clock: Clock
}

export const CHECK_INTERVAL_MS = 10_000

export default fp<TlsOptions>(async function tls (fastify, { cert, key, files, clock }) {
  const server = fastify.server as unknown as Server
  let inUse = { cert: cert.trim(), key: key.trim() }
  let timer: Timer | undefined

  const renew = async (): Promise<void> => {
    try {
      const [cert, key] = await Promise.all([readText(files.cert), readText(files.key)])
      if (cert === inUse.cert && key === inUse.key) return
      // Throws where the key is not the certificate's; the server itself would be left half changed.
      createSecureContext({ cert, key })
      server.setSecureContext({ cert, key })
      inUse = { cert, key }
      fastify.meter.count('certificate_renewals_total', 1, 'taken')
      fastify.log.info({ file: files.cert }, 'certificate renewed')
    } catch (error) {
      fastify.meter.count('certificate_renewals_total', 1, 'refused')
      fastify.log.warn({ err: error, file: files.cert }, 'certificate not renewed, the one before stays')
    }
  }
  const arm = (): void => {
    timer = clock.setTimer(() => {
      arm()
      void renew()
    }, CHECK_INTERVAL_MS)
  }

  fastify.addHook('onReady', async () => { arm() })
  fastify.addHook('onClose', async () => { if (timer !== undefined) clock.clearTimer(timer) })
}, { name: 'tls', fastify: '5.x', dependencies: ['metrics'] })

async function readText (path: string): Promise<string> {
  return (await readFile(path, 'utf8')).trim()
}
