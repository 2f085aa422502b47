/** The services of a test run: those whose addresses the environment gives, and for the others a private instance. */
const ADDRESSES = { ETCD_ENDPOINTS: 'etcd', REDIS_ADDR: 'redis', KAFKA_BROKERS: 'kafka', MYSQL_URL: 'mysql' }

/** Calls `work` with the addresses that had to be added to the environment, and stops what was started for it. */
export async function withServices (work) {
  const missing = Object.keys(ADDRESSES).filter((name) => !process.env[name])
  if (missing.length === 0) return await work({})
  const { register } = await import('tsx/esm/api')
  const unregister = register()
  const { startService } = await import('../../test/helpers/services.ts')
  await unregister()
  process.stderr.write(`starting ${missing.map((name) => ADDRESSES[name]).join(', ')}\n`)
  const services = await startService(missing.map((name) => ADDRESSES[name]))
  try {
    return await work(services.env)
  } finally {
    await services.stop()
  }
}
