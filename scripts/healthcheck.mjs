/** The image's health check: exit code 0 while /healthz answers 200 within two seconds. */
const host = process.env.WS_HOST || '127.0.0.1'
const target = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
try {
  const response = await fetch(`http://${target.includes(':') ? `[${target}]` : target}:${process.env.WS_PORT || '8080'}/healthz`, { signal: AbortSignal.timeout(2_000) })
  process.exitCode = response.status === 200 ? 0 : 1
} catch {
  process.exitCode = 1
}
