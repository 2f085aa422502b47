/** Variables of the gRPC services that the gateway calls, of tokens, and of the gRPC service that it serves. */
import type { Variable } from './variable.ts'

export const AUTH = {
  AUTH_SERVICE_ADDR: { kind: 'text', form: 'target', original: 'AuthServiceAddr', about: 'Address of the Auth Service, host:port or a gRPC target; not needed with AUTH_MODE=local' },
  AUTH_MODE: { kind: 'choice', default: 'service', choices: ['service', 'local'], about: 'Who has the last word on a token: the Auth Service, or the local check of its signature alone' },
  AUTH_TIMEOUT: { kind: 'duration', default: '2s', min: '50ms', max: '30s', about: 'Deadline of a call to the Auth Service' },
  AUTH_CACHE_TTL: { kind: 'duration', default: '60s', min: '0s', max: '60s', about: 'How long an answer of the Auth Service is kept, never past the token\'s expiry' },
  AUTH_CACHE_SIZE: { kind: 'integer', default: 10_000, min: 1, max: 1_000_000, about: 'Answers of the Auth Service that are kept' },
  MAX_PENDING_AUTH_CALLS: { kind: 'integer', default: 500, min: 1, max: 100_000, about: 'Calls to the Auth Service that may be under way; past it tokens are answered 503' },
  JWT_SECRET: { kind: 'text', form: 'any', secret: true, about: 'HS256 secret of at least 32 bytes for the local check' },
  JWT_SECRET_PREVIOUS: { kind: 'text', form: 'any', secret: true, about: 'The secret before it, still accepted while secrets change' },
  JWT_PUBLIC_KEY: { kind: 'text', form: 'pem', file: true, about: 'RSA, P-256 or Ed25519 public key in PEM for the local check' },
  JWKS_URL: { kind: 'text', form: 'url', about: 'Key set for the local check; https, or http on loopback' },
  JWKS_TIMEOUT: { kind: 'duration', default: '1s', min: '50ms', max: '30s', about: 'Deadline of a fetch of the key set' },
  JWT_ISSUER: { kind: 'text', form: 'any', about: 'The iss claim that a token has to have' },
  JWT_AUDIENCE: { kind: 'text', form: 'any', about: 'The aud claim that a token has to have' },
  JWT_CLOCK_TOLERANCE: { kind: 'duration', default: '5s', min: '0s', max: '30s', about: 'How far ahead of this clock the nbf of a token may lie; exp is taken as it is' }
} as const satisfies Record<string, Variable>

export const UPSTREAM = {
  IM_SERVICE_ADDR: { kind: 'text', form: 'target', original: 'IMServiceAddr', about: 'Address of the IM Service, host:port or a gRPC target' },
  IM_TIMEOUT: { kind: 'duration', default: '5s', min: '100ms', max: '1m', about: 'Deadline of a message upstream in all, the retry included' },
  IM_ATTEMPT_TIMEOUT: { kind: 'duration', default: '2s', min: '50ms', max: '1m', about: 'Deadline of one attempt' },
  MAX_SENDS_IN_FLIGHT: { kind: 'integer', default: 50_000, min: 64, max: 1_000_000, about: 'Messages of all clients that may be queued or upstream; past it they are refused with OVERLOADED' },
  USER_SERVICE_ADDR: { kind: 'text', form: 'target', original: 'UserServiceAddr', about: 'Address of the User Service, host:port or a gRPC target' },
  USER_TIMEOUT: { kind: 'duration', default: '2s', min: '50ms', max: '30s', about: 'Deadline of a call to the User Service' },
  UPSTREAM_CHANNELS: { kind: 'integer', default: 2, min: 1, max: 64, about: 'Connections to each address of a service' },
  UPSTREAM_KEEPALIVE_INTERVAL: { kind: 'duration', default: '5s', min: '1s', max: '1h', about: 'Time between keepalive pings to the services; they have to permit it' },
  UPSTREAM_KEEPALIVE_TIMEOUT: { kind: 'duration', default: '2s', min: '100ms', max: '1m', about: 'Time without an answer to such a ping after which a connection is given up' },
  UPSTREAM_TLS: { kind: 'boolean', default: false, about: 'Whether the services are called over TLS; UPSTREAM_TLS_CA turns it on as well' },
  UPSTREAM_TLS_CA: { kind: 'text', form: 'pem', file: true, about: 'Certificates that sign those of the services (PEM)' },
  UPSTREAM_TLS_CERT: { kind: 'text', form: 'pem', file: true, about: 'Client certificate for the services (PEM)' },
  UPSTREAM_TLS_KEY: { kind: 'text', form: 'pem', secret: true, about: 'Its private key (PEM)' }
} as const satisfies Record<string, Variable>

export const GRPC = {
  GRPC_HOST: { kind: 'text', form: 'host', otherwise: '0.0.0.0 with credentials, else 127.0.0.1', about: 'Address that the gRPC server binds; other than loopback only with GRPC_AUTH_TOKEN or mutual TLS' },
  GRPC_PORT: { kind: 'integer', default: 9093, min: 0, max: 65535, original: 'GRPCPort', about: 'Port of the gRPC server; 0 takes a free one' },
  GRPC_ADVERTISE_ADDR: { kind: 'text', form: 'hostPort', otherwise: 'GRPC_HOST:GRPC_PORT where GRPC_HOST is one address', about: 'host:port under which other nodes and the IM Service reach the gRPC server' },
  GRPC_AUTH_TOKEN: { kind: 'text', form: 'bearer', secret: true, about: 'Bearer token that callers show and that this node shows to others' },
  GRPC_AUTH_TOKEN_PREVIOUS: { kind: 'text', form: 'bearer', secret: true, about: 'Another one that callers may show, while tokens change (docs/runbook.md)' },
  GRPC_TLS_CERT: { kind: 'text', form: 'pem', file: true, about: 'Certificate of the gRPC server, and of this node as a caller of others (PEM)' },
  GRPC_TLS_KEY: { kind: 'text', form: 'pem', secret: true, about: 'Its private key (PEM)' },
  GRPC_TLS_CA: { kind: 'text', form: 'pem', file: true, about: 'Certificates that sign those of callers: makes TLS mutual (PEM)' },
  GRPC_TLS_ALLOWED_SANS: { kind: 'list', form: 'any', about: 'Subject alternative names (DNS, URI or IP) that a caller\'s certificate may have' },
  GRPC_REFLECTION: { kind: 'boolean', default: false, about: 'Whether the gRPC server describes itself' },
  GRPC_MAX_CONNECTION_AGE: { kind: 'duration', default: '5m', min: '1s', max: '24h', about: 'Age at which callers are asked to connect again, so that they find new nodes' },
  ACK_TIMEOUT: { kind: 'duration', default: '5s', min: '100ms', max: '1m', original: 'AckTimeout', about: 'How long a push waits for the acknowledgement of a device' },
  MAX_PENDING_PUSHES: { kind: 'integer', default: 100_000, min: 1, max: 10_000_000, about: 'Pushes that may wait for devices; past it they are refused with RESOURCE_EXHAUSTED' },
  MAX_PENDING_PUSH_BYTES: { kind: 'size', default: '64MB', min: '1MB', max: '16GB', about: 'Bytes of their frames, likewise' }
} as const satisfies Record<string, Variable>
