import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { BASE_BYTES, CONNECTION_BYTES } from '../../src/capacity.ts'
import { ConfigError, loadConfig, loadSettings, type Environment, type Probe } from '../../src/config.ts'
import { createAuthority } from '../helpers/certificates.ts'

const FILES: Record<string, string> = { '/run/secret': `${'s'.repeat(40)}\n`, '/run/empty': '\n' }

const probe: Probe = {
  hostName: () => 'host-1',
  memoryLimitBytes: () => 1024 ** 3,
  openFilesLimit: () => 20_000,
  readFile: (path) => {
    const text = FILES[path]
    if (text === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
    return text
  }
}

const ADDRESSES = {
  AUTH_SERVICE_ADDR: 'auth:9001',
  IM_SERVICE_ADDR: 'dns:///im:9002',
  USER_SERVICE_ADDR: 'user:9003',
  ETCD_ENDPOINTS: 'http://etcd-0:2379, http://etcd-1:2379',
  REDIS_ADDR: 'redis:6379',
  KAFKA_BROKERS: 'kafka-0:9092,kafka-1:9092'
}

const load = (env: Environment = {}) => loadConfig(env, { requireServices: false, probe })

function faults (env: Environment, requireServices = false): string[] {
  try {
    loadConfig(env, { requireServices, probe })
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.faults.map(({ names, text }) => `${names.join(' ')}: ${text}`)
  }
}

/** The first names of the faults. */
const names = (env: Environment) => faults(env).map((fault) => fault.split(/[ :]/)[0])

t.test('defaults are those of the table, in milliseconds and bytes', async (t) => {
  const config = load()
  t.match(config, {
    node: { nodeId: 'host-1' },
    ws: { host: '0.0.0.0', port: 8080, maxMessageBytes: 10_240, readBufferBytes: 4096, writeBufferBytes: 4096, closeTimeoutMs: 5000 },
    outbox: { outboxBytes: 1024 ** 2, outboxTotalBytes: 64 * 1024 ** 2, writeWaitMs: 10_000 },
    heartbeat: { intervalMs: 30_000, timeoutMs: 90_000 },
    limits: { messagesPerSecond: 100, devicesPerUser: 5, maxConnectionsPerIp: 0 },
    handshake: { allowEmptyOrigin: true, allowQueryToken: false, allowedOrigins: [], limiter: 'redis' },
    auth: { mode: 'service', timeoutMs: 2000, cacheTtlMs: 60_000 },
    im: { timeoutMs: 5000, attemptTimeoutMs: 2000 },
    grpc: { host: '127.0.0.1', port: 9093, advertiseAddr: '127.0.0.1:9093', reflection: false },
    push: { ackTimeoutMs: 5000 },
    registry: { ttlMs: 90_000, renewIntervalMs: 30_000, admissionTimeoutMs: 1500 },
    kafka: { groupId: 'im-gateway', commitIntervalMs: 0, readyTimeoutMs: 60_000 },
    groups: { largeGroupSize: 1000, cacheTtlMs: 300_000, membershipCacheBytes: 64 * 1024 ** 2 },
    drain: { delayMs: 0, timeoutMs: 30_000 }
  })
  for (const absent of [config.admin, config.grpc.tls, config.upstream.tls, config.redis.tls, config.kafka.sasl, config.redis.address]) t.equal(absent, undefined)
})

t.test('the config is frozen all through', async (t) => {
  const config = load({ ALLOWED_ORIGINS: 'https://a.example' })
  t.ok(Object.isFrozen(config) && Object.isFrozen(config.ws) && Object.isFrozen(config.handshake.allowedOrigins))
})

t.test('the production entry names each address that is missing and takes them all', async (t) => {
  t.same(faults({}, true), Object.keys(ADDRESSES).map((name) => `${name}: is required`).sort(byTable))
  const config = loadConfig(ADDRESSES, { requireServices: true, probe })
  t.equal(config.auth.serviceAddr, 'auth:9001')
  t.same(config.etcd.endpoints, ['http://etcd-0:2379', 'http://etcd-1:2379'])
  t.same(config.redis.address, { mode: 'single', nodes: [{ host: 'redis', port: 6379 }] })
  t.same(config.kafka.brokers, ['kafka-0:9092', 'kafka-1:9092'])
  const { AUTH_SERVICE_ADDR: _, ...others } = ADDRESSES
  t.same(faults({ ...others, AUTH_MODE: 'local', JWT_SECRET: 's'.repeat(32) }, true), [], 'with local checks the Auth Service is not needed')
})

const ORDER = ['AUTH_SERVICE_ADDR', 'IM_SERVICE_ADDR', 'USER_SERVICE_ADDR', 'ETCD_ENDPOINTS', 'REDIS_ADDR', 'KAFKA_BROKERS']
function byTable (a: string, b: string): number {
  return ORDER.indexOf(a.split(':')[0] as string) - ORDER.indexOf(b.split(':')[0] as string)
}

t.test('all faults are reported at once, by name, in the order of the table', async (t) => {
  t.same(faults({ WS_PORT: '70000', HEARTBEAT_INTERVAL: '30', MAX_MESSAGE_SIZE: '2GB', LOG_LEVEL: 'loud', GRPC_REFLECTION: 'yes', ALLOWED_ORIGINS: 'https://a.example,nonsense', KAFKA_BROKERS: 'a:1,b', GRPC_HOST: '10.0.0.1' }), [
    'LOG_LEVEL: must be one of trace, debug, info, warn, error, fatal, silent',
    'WS_PORT: must be an integer of 0 to 65535',
    'MAX_MESSAGE_SIZE: must be 256 to 1MB',
    'HEARTBEAT_INTERVAL: must be a duration like 500ms, 30s or 5m',
    'ALLOWED_ORIGINS: each item must be an origin like https://app.example.com or https://*.example.com',
    'GRPC_HOST GRPC_AUTH_TOKEN GRPC_TLS_CA: an address other than loopback needs GRPC_AUTH_TOKEN or mutual TLS',
    'GRPC_REFLECTION: must be true or false',
    'KAFKA_BROKERS: each item must be host:port'
  ])
})

t.test('several workers: what they need, what each has of its own and what they share', async (t) => {
  const env = { WORKERS: '4', GATEWAY_NODE_ID: 'gw', ADMIN_PORT: '9900', GRPC_ADVERTISE_ADDR: '[fd00::1]:7000', MEMORY_LIMIT: '4GB' }
  const primary = loadConfig(env, { requireServices: false, probe })
  t.match(primary, { node: { nodeId: 'gw' }, workers: { count: 4, index: undefined }, admin: { port: 9900 } })
  const worker = loadConfig(env, { requireServices: false, probe, worker: 2 })
  t.match(worker, { node: { nodeId: 'gw-2' }, workers: { count: 4, index: 2 }, ws: { port: 8080 }, grpc: { port: 9095, advertiseAddr: '[fd00::1]:7002' } })
  t.equal(worker.admin, undefined)
  t.equal(worker.overload.memoryLimitBytes, (4096 - 80) / 4 * 1024 ** 2, 'its share, less what the primary takes')
  t.equal(worker.overload.memoryLimitBytes, primary.overload.memoryLimitBytes)
  t.equal(loadConfig({ ...env, GRPC_ADVERTISE_ADDR: '', GRPC_HOST: '127.0.0.1' }, { requireServices: false, probe, worker: 3 }).grpc.advertiseAddr, '127.0.0.1:9096')
  const wrong = (change: Environment): string[] => faults({ ...env, ...change })
  t.match(wrong({ ADMIN_PORT: '' }), [/^ADMIN_PORT WORKERS: is required/])
  t.match(wrong({ WS_PORT: '0' }), [/^WS_PORT WORKERS: cannot be 0/])
  t.match(wrong({ GRPC_PORT: '0' }), [/^GRPC_PORT WORKERS: cannot be 0/])
  t.match(wrong({ GRPC_PORT: '65533' }), [/^GRPC_PORT WORKERS: 4 workers need/])
  t.match(wrong({ GRPC_ADVERTISE_ADDR: 'gw:65534' }), [/^GRPC_PORT WORKERS: 4 workers need/])
  t.match(wrong({ WS_PORT: '9096' }), [/^WS_PORT GRPC_PORT WORKERS: the workers take the ports 9093-9096/])
  t.match(wrong({ ADMIN_PORT: '9094' }), [/^ADMIN_PORT GRPC_PORT WORKERS/].reverse())
  t.match(wrong({ GATEWAY_NODE_ID: 'n'.repeat(63) }), [/^GATEWAY_NODE_ID WORKERS: leaves no room/])
  t.match(wrong({ MEMORY_LIMIT: '700MB' }), [/MEMORY_LIMIT 700MB leaves no room/])
})

t.test('a variable at fault does not cause faults of others, and empty ones count as absent', async (t) => {
  t.same(faults({ HEARTBEAT_TIMEOUT: 'soon', HEARTBEAT_INTERVAL: '10m' }), ['HEARTBEAT_TIMEOUT: must be a duration like 500ms, 30s or 5m'])
  t.same(load({ WS_PORT: '', ALLOWED_ORIGINS: ' , ', UNRELATED: 'x' }), load())
})

t.test('a secret may stand in a file, whose last line break is cut; both at once, a missing or an empty file are faults', async (t) => {
  t.equal(load({ JWT_SECRET_FILE: '/run/secret' }).auth.jwt.secret, 's'.repeat(40))
  t.same(faults({ JWT_SECRET_FILE: '/run/secret', JWT_SECRET: 'x'.repeat(40), REDIS_PASSWORD_FILE: '/run/none', ETCD_PASSWORD_FILE: '/run/empty', ETCD_USERNAME: 'u' }).sort(), [
    'ETCD_PASSWORD_FILE ETCD_PASSWORD: the file is empty',
    'JWT_SECRET JWT_SECRET_FILE: both are set, give one',
    'REDIS_PASSWORD_FILE REDIS_PASSWORD: the file cannot be read (ENOENT)'
  ])
  t.equal(load({ WS_HOST_FILE: '/run/none' }).ws.host, '0.0.0.0', 'only secrets and keys have a file')
})

t.test('the heartbeat interval is below its timeout and the older names override or are refused', async (t) => {
  t.same(load({ PING_PERIOD: '20s', PONG_WAIT: '60s' }).heartbeat, { intervalMs: 20_000, timeoutMs: 60_000 })
  t.same(load({ PING_PERIOD: '20s', HEARTBEAT_INTERVAL: '20000ms' }).heartbeat.intervalMs, 20_000)
  t.same(names({ PING_PERIOD: '20s', HEARTBEAT_INTERVAL: '30s', PONG_WAIT: '91s', HEARTBEAT_TIMEOUT: '90s' }), ['PING_PERIOD', 'PONG_WAIT'])
  t.same(names({ HEARTBEAT_INTERVAL: '90s' }), ['HEARTBEAT_INTERVAL'])
  t.same(names({ PING_PERIOD: '2m', PONG_WAIT: '1m' }), ['PING_PERIOD'])
})

t.test('[GW-CON-10] the parts of a handshake stay below the guard', async (t) => {
  t.same(names({ AUTH_TIMEOUT: '3100ms' }), ['HANDSHAKE_TIMEOUT'])
  t.same(names({ HANDSHAKE_TIMEOUT: '3900ms' }), ['HANDSHAKE_TIMEOUT'])
  t.same(names({ HANDSHAKE_TIMEOUT: '3901ms' }), [])
  t.same(names({ HANDSHAKE_TIMEOUT: '3701ms', HANDSHAKES_PER_USER: '0' }), [], 'Redis is asked once for each limit')
  t.same(names({ HANDSHAKE_TIMEOUT: '3501ms', HANDSHAKE_LIMITER: 'local' }), [])
  t.same(names({ HANDSHAKE_TIMEOUT: '3s', AUTH_MODE: 'local', JWT_SECRET: 's'.repeat(32) }), [], 'a local check does not wait')
  t.same(names({ HANDSHAKE_TIMEOUT: '4s', JWKS_URL: 'https://keys.example/jwks' }), ['HANDSHAKE_TIMEOUT'])
})

t.test('[GW-END-1] the drain fits the grace period of the pod', async (t) => {
  t.same(names({ DRAIN_TIMEOUT: '90s', PRE_STOP_DELAY: '10s', GRACE_PERIOD: '120s' }), [])
  t.same(names({ DRAIN_TIMEOUT: '90s', PRE_STOP_DELAY: '30s', GRACE_PERIOD: '120s' }), ['DRAIN_TIMEOUT'])
  t.same(names({ GRACE_PERIOD: '30s' }), ['DRAIN_TIMEOUT'])
  t.same(names({ DRAIN_DELAY: '30s' }), ['DRAIN_DELAY'])
})

t.test('[GW-OVL-1] the default of MAX_CONNECTIONS is what memory and open files allow, and more is refused', async (t) => {
  t.equal(load().limits.maxConnections, 20_000 - 512)
  const at = (limit: string, files: number | undefined = 1_000_000) => loadConfig({ MEMORY_LIMIT: limit }, { requireServices: false, probe: { ...probe, openFilesLimit: () => files } }).limits.maxConnections
  t.equal(at('512MB'), Math.floor((0.8 * 512 * 1024 ** 2 - BASE_BYTES - (64 + 16) * 1024 ** 2 - 400 * 30_000 - 64 * 1024 ** 2) / CONNECTION_BYTES))
  t.ok(at('4GB', undefined) > 100_000, 'where the system knows no limit of open files')
  t.same(names({ MAX_CONNECTIONS: '19489' }), ['MAX_CONNECTIONS'])
  t.same(names({ MAX_CONNECTIONS: '19488' }), [])
  t.match(faults({ MAX_CONNECTIONS: '60000', MEMORY_LIMIT: '500MB' }), [/60000 connections are more than \d+, which MEMORY_LIMIT 500MB/])
  t.same(names({ MEMORY_LIMIT: '200MB' }), ['MEMORY_LIMIT'])
  t.throws(() => loadConfig({}, { requireServices: false, probe: { ...probe, openFilesLimit: () => 256 } }), /open-files limit leaves no room/)
  t.equal(load({ MEMORY_LIMIT: '1GB', MAX_MEMORY_PERCENT: '50' }).overload.maxMemoryBytes, 512 * 1024 ** 2)
})

t.test('the gRPC server is open to others only with credentials, and says where it is', async (t) => {
  const token = 't'.repeat(16)
  t.same(names({ GRPC_HOST: '10.0.0.1' }), ['GRPC_HOST'])
  t.same(names({ GRPC_HOST: '::1' }), [])
  t.equal(load({ GRPC_HOST: '::1' }).grpc.advertiseAddr, '[::1]:9093')
  t.equal(load({ GRPC_HOST: 'localhost', GRPC_PORT: '0' }).grpc.advertiseAddr, 'localhost:0')
  t.same(names({ GRPC_AUTH_TOKEN: token }), ['GRPC_ADVERTISE_ADDR'], 'with credentials it binds to all addresses, none of which is known')
  t.match(load({ GRPC_AUTH_TOKEN: token, GRPC_ADVERTISE_ADDR: '10.1.2.3:9093' }).grpc, { host: '0.0.0.0', advertiseAddr: '10.1.2.3:9093' })
  t.equal(load({ GRPC_AUTH_TOKEN: token, GRPC_HOST: '10.0.0.1' }).grpc.advertiseAddr, '10.0.0.1:9093')
  t.same(names({ GRPC_AUTH_TOKEN: 'short' }), ['GRPC_AUTH_TOKEN'])
  t.match(faults({ GRPC_AUTH_TOKEN_PREVIOUS: token }), [/required with GRPC_AUTH_TOKEN_PREVIOUS/])
  t.same(names({ GRPC_HOST: '::', GRPC_AUTH_TOKEN: token }), ['GRPC_ADVERTISE_ADDR'])
})

t.test('[GW-OBS-5] the admin server needs a token where it is not on loopback, and a port of its own', async (t) => {
  t.same(names({ ADMIN_HOST: '0.0.0.0', ADMIN_PORT: '9000' }), ['ADMIN_TOKEN'])
  t.same(names({ ADMIN_HOST: '0.0.0.0' }), [], 'without a port there is no server')
  t.same(load({ ADMIN_HOST: '0.0.0.0', ADMIN_PORT: '9000', ADMIN_TOKEN: 'a'.repeat(20) }).admin, { host: '0.0.0.0', port: 9000, token: 'a'.repeat(20) })
  t.same(names({ ADMIN_PORT: '8080' }), ['WS_PORT'])
  t.same(names({ ADMIN_PORT: '0', WS_PORT: '0', GRPC_PORT: '0' }), [])
})

t.test('[GW-CON-2] keys for tokens exclude each other and are fit for use', async (t) => {
  const pem = (key: { export (options: { type: 'spki', format: 'pem' }): string | Buffer }) => key.export({ type: 'spki', format: 'pem' }).toString()
  const good = {
    rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ec: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }),
    ed: generateKeyPairSync('ed25519')
  }
  for (const { publicKey } of Object.values(good)) t.same(names({ JWT_PUBLIC_KEY: pem(publicKey) }), [])
  t.match(faults({ JWT_PUBLIC_KEY: pem(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey) }), [/2048 bits/])
  t.match(faults({ JWT_PUBLIC_KEY: pem(generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).publicKey) }), [/P-256/])
  t.match(faults({ JWT_PUBLIC_KEY: pem(generateKeyPairSync('x25519').publicKey) }), [/RSA, P-256 or Ed25519/])
  t.match(faults({ JWT_PUBLIC_KEY: good.ed.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }), [/private key/])
  t.match(faults({ JWT_PUBLIC_KEY: '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----' }), [/not a public key/])
  t.match(faults({ JWT_PUBLIC_KEY: '/etc/key.pem' }), [/must be PEM text/])
  t.match(faults({ JWT_SECRET: 's'.repeat(32), JWKS_URL: 'https://keys.example/' }), [/exclude each other/])
  t.match(faults({ JWT_SECRET: 's'.repeat(31) }), [/at least 32 bytes/])
  t.match(faults({ JWT_SECRET: 's'.repeat(32), JWT_SECRET_PREVIOUS: 's' }), [/at least 32 bytes/])
  t.match(faults({ JWT_SECRET_PREVIOUS: 's'.repeat(32) }), [/required with JWT_SECRET_PREVIOUS/])
  t.match(faults({ AUTH_MODE: 'local' }), [/local needs a key/])
  t.match(faults({ JWKS_URL: 'http://keys.example/' }), [/has to be https/])
  t.same(faults({ JWKS_URL: 'http://[::1]:8000/jwks' }), [])
  t.same(faults({ JWKS_URL: 'ftp://keys.example/' }), ['JWKS_URL: must be an http or https URL'])
})

t.test('certificates and keys go together and match', async (t) => {
  const authority = createAuthority()
  t.teardown(() => { authority.remove() })
  const [a, b] = [authority.sign('DNS:a.example'), authority.sign('DNS:b.example')]
  const mutual = { GRPC_TLS_CERT: a.cert, GRPC_TLS_KEY: a.key, GRPC_TLS_CA: b.cert, GRPC_TLS_ALLOWED_SANS: 'im.example, spiffe://x/gw' }
  t.same(load({ ...mutual, GRPC_ADVERTISE_ADDR: 'n:9093' }).grpc.tls, { cert: a.cert, key: a.key, ca: b.cert, allowedSans: ['im.example', 'spiffe://x/gw'] })
  t.same(names({ ...mutual, GRPC_ADVERTISE_ADDR: 'n:9093', GRPC_TLS_ALLOWED_SANS: '' }), ['GRPC_TLS_ALLOWED_SANS'])
  t.same(names({ GRPC_TLS_ALLOWED_SANS: 'x' }), ['GRPC_TLS_CA'])
  t.same(names({ GRPC_TLS_CA: b.cert, GRPC_TLS_ALLOWED_SANS: 'x' }), ['GRPC_TLS_CERT'])
  t.match(faults({ GRPC_TLS_CERT: a.cert, GRPC_TLS_KEY: b.key }), [/is not the key of the certificate/])
  t.match(faults({ GRPC_TLS_CERT: a.cert }), [/^GRPC_TLS_KEY GRPC_TLS_CERT: is required/])
  t.match(faults({ ETCD_TLS_KEY: a.key, ETCD_ENDPOINTS: 'https://e:1' }), [/^ETCD_TLS_CERT ETCD_TLS_KEY: is required/])
  t.match(faults({ GRPC_TLS_CERT: a.key, GRPC_TLS_KEY: a.key }), [/^GRPC_TLS_CERT: is not a certificate/])
  t.match(faults({ GRPC_TLS_CERT: a.cert, GRPC_TLS_KEY: a.cert }), [/^GRPC_TLS_KEY: is not a private key/])
  t.match(faults({ WS_TLS_CERT: a.cert, WS_TLS_KEY: b.key }), [/^WS_TLS_KEY WS_TLS_CERT: is not the key of the certificate/])
  t.match(faults({ WS_TLS_KEY: a.key }), [/^WS_TLS_CERT WS_TLS_KEY: is required/])
  t.equal(load().ws.tls, undefined)
  t.same(load({ WS_TLS_CERT: a.cert, WS_TLS_KEY: a.key }).ws.tls, { cert: a.cert, key: a.key, files: undefined })
  Object.assign(FILES, { '/run/tls.pem': `${a.cert}\n`, '/run/tls.key': `${a.key}\n` })
  t.same(load({ WS_TLS_CERT_FILE: '/run/tls.pem', WS_TLS_KEY_FILE: '/run/tls.key' }).ws.tls, { cert: a.cert, key: a.key, files: { cert: '/run/tls.pem', key: '/run/tls.key' } })
  t.equal(load({ WS_TLS_CERT: a.cert, WS_TLS_KEY_FILE: '/run/tls.key' }).ws.tls?.files, undefined, 'half of a pair is not renewed')
  t.match(faults({ WS_TLS_CERT_FILE: '/run/nothing', WS_TLS_KEY_FILE: '/run/tls.key' }), [/^WS_TLS_CERT_FILE WS_TLS_CERT: the file cannot be read \(ENOENT\)/])
  t.match(faults({ REDIS_TLS_CA: a.key }), [/^REDIS_TLS_CA: is not a certificate/])
  t.same(load({ REDIS_TLS: 'true' }).redis.tls, {})
  t.same(load({ KAFKA_TLS_CA: a.cert, KAFKA_TLS_CERT: b.cert, KAFKA_TLS_KEY: b.key }).kafka.tls, { ca: a.cert, cert: b.cert, key: b.key })
  t.same(names({ KAFKA_TLS_CERT: b.cert, KAFKA_TLS_KEY: b.key, REDIS_TLS_CERT: b.cert, REDIS_TLS_KEY: b.key, UPSTREAM_TLS_CERT: b.cert, UPSTREAM_TLS_KEY: b.key }), ['UPSTREAM_TLS', 'REDIS_TLS', 'KAFKA_TLS'])
  t.same(load({ ETCD_ENDPOINTS: 'https://e:2379', ETCD_TLS_CA: a.cert }).etcd.tls, { ca: a.cert })
  t.same(names({ ETCD_ENDPOINTS: 'http://e:2379', ETCD_TLS_CA: a.cert }), ['ETCD_ENDPOINTS'])
})

t.test('what goes together is refused alone, and what disagrees is named', async (t) => {
  t.same(names({ KAFKA_SASL_MECHANISM: 'plain', KAFKA_SASL_USERNAME: 'u' }), ['KAFKA_SASL_MECHANISM'])
  t.same(load({ KAFKA_SASL_MECHANISM: 'scram-sha-512', KAFKA_SASL_USERNAME: 'u', KAFKA_SASL_PASSWORD: 'p' }).kafka.sasl, { mechanism: 'scram-sha-512', username: 'u', password: 'p' })
  t.same(names({ ETCD_USERNAME: 'u' }), ['ETCD_USERNAME'])
  t.same(names({ REDIS_USERNAME: 'u' }), ['REDIS_PASSWORD'])
  t.same(names({ ETCD_ENDPOINTS: 'http://a:1,https://b:1' }), ['ETCD_ENDPOINTS'])
  t.same(names({ IM_ATTEMPT_TIMEOUT: '6s' }), ['IM_ATTEMPT_TIMEOUT'])
  t.same(names({ REGISTRY_TTL: '40s' }), ['REGISTRY_RENEW_INTERVAL'])
  t.same(names({ REGISTRY_TTL: '90500ms' }), ['REGISTRY_TTL'])
  t.same(names({ OUTBOX_BYTES: '2MB', OUTBOX_TOTAL_BYTES: '1MB', MAX_MESSAGE_SIZE: '64KB' }), ['OUTBOX_BYTES'])
  t.same(names({ OUTBOX_BYTES: '16KB', MAX_MESSAGE_SIZE: '64KB' }), ['MAX_MESSAGE_SIZE'])
  t.same(names({ KAFKA_MIN_BYTES: '2MB', KAFKA_MAX_BYTES: '1MB' }), ['KAFKA_MIN_BYTES'])
  t.same(names({ REDIS_DB: '1', REDIS_ADDR: 'a:1,b:2' }), ['REDIS_DB'])
  t.same(names({ REDIS_DB: '1', REDIS_ADDR: 'sentinel:main@a:1,b:2' }), [])
  t.match(loadThrows({ ...probe, hostName: () => 'bad host' }), /GATEWAY_NODE_ID/)
})

function loadThrows (broken: Probe): string {
  try {
    loadConfig({}, { requireServices: false, probe: broken })
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

t.test('the machine itself can be asked', async (t) => {
  const { config } = loadSettings({ GATEWAY_NODE_ID: 'gw-0' }, { requireServices: false })
  t.equal(config.node.nodeId, 'gw-0')
  t.ok(config.overload.memoryLimitBytes > 0)
  t.match(config.node.version, /^\d+\.\d+\.\d+/)
})
