/** The image's health check: exit code 0 while /healthz answers 200 within two seconds. */
import { get as getHttp } from 'node:http'
import { get as getHttps } from 'node:https'

const { WS_HOST: host = '', WS_PORT: port, WS_TLS_CERT, WS_TLS_CERT_FILE } = process.env
const hostname = host === '' || host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
const get = WS_TLS_CERT || WS_TLS_CERT_FILE ? getHttps : getHttp
// The certificate is for the name that clients use, not for this address.
const options = { hostname, port: port || '8080', path: '/healthz', signal: AbortSignal.timeout(2_000), rejectUnauthorized: false }
process.exitCode = 1
get(options, (response) => {
  process.exitCode = response.statusCode === 200 ? 0 : 1
  response.destroy()
}).on('error', () => {})
