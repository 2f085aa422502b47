/** Variables of etcd, Redis and Kafka, and of what is built on them. */
import type { Variable } from './variable.ts'

export const ETCD = {
  ETCD_ENDPOINTS: { kind: 'list', form: 'endpoint', original: 'EtcdEndpoints', about: 'Addresses of etcd, http://host:port or https://host:port' },
  ETCD_USERNAME: { kind: 'text', form: 'any', about: 'User in etcd' },
  ETCD_PASSWORD: { kind: 'text', form: 'any', secret: true, about: 'Password of the user in etcd' },
  ETCD_TLS_CA: { kind: 'text', form: 'pem', file: true, about: 'Certificates that sign those of etcd (PEM)' },
  ETCD_TLS_CERT: { kind: 'text', form: 'pem', file: true, about: 'Client certificate for etcd (PEM)' },
  ETCD_TLS_KEY: { kind: 'text', form: 'pem', secret: true, about: 'Its private key (PEM)' },
  ETCD_TIMEOUT: { kind: 'duration', default: '3s', min: '100ms', max: '30s', about: 'Deadline of a call to etcd' },
  ADMISSION_TIMEOUT: { kind: 'duration', default: '1500ms', min: '50ms', max: '30s', about: 'How long an upgrade waits for etcd to say which devices a user has' },
  REGISTRATION_TIMEOUT: { kind: 'duration', default: '5s', min: '100ms', max: '1m', about: 'How long a new connection waits for its registration before it is closed (1013)' },
  REGISTRY_TTL: { kind: 'duration', default: '90s', min: '2s', max: '1h', original: 'RegistryTTL', about: 'How long registrations outlive a dead node; whole seconds' },
  REGISTRY_RENEW_INTERVAL: { kind: 'duration', default: '30s', min: '500ms', max: '20m', original: 'RegistryRenewInterval', about: 'Time between renewals of a lease' },
  ROUTE_CACHE_SIZE: { kind: 'integer', default: 20_000, min: 1, max: 10_000_000, about: 'Users whose devices elsewhere are remembered' }
} as const satisfies Record<string, Variable>

export const REDIS = {
  REDIS_ADDR: { kind: 'text', form: 'redis', original: 'RedisAddr', about: 'host:port; host:port,host:port for a cluster (cluster:host:port for one seed); sentinel:name@host:port,host:port' },
  REDIS_USERNAME: { kind: 'text', form: 'any', about: 'User in Redis' },
  REDIS_PASSWORD: { kind: 'text', form: 'any', secret: true, about: 'Password of Redis' },
  REDIS_SENTINEL_PASSWORD: { kind: 'text', form: 'any', secret: true, about: 'Password of the sentinels' },
  REDIS_DB: { kind: 'integer', default: 0, min: 0, max: 1023, original: 'RedisDB', about: 'Number of the database; a cluster has 0 alone' },
  REDIS_TLS: { kind: 'boolean', default: false, about: 'Whether Redis is called over TLS; REDIS_TLS_CA turns it on as well' },
  REDIS_TLS_CA: { kind: 'text', form: 'pem', file: true, about: 'Certificates that sign those of Redis (PEM)' },
  REDIS_TLS_CERT: { kind: 'text', form: 'pem', file: true, about: 'Client certificate for Redis (PEM)' },
  REDIS_TLS_KEY: { kind: 'text', form: 'pem', secret: true, about: 'Its private key (PEM)' },
  REDIS_TIMEOUT: { kind: 'duration', default: '200ms', min: '10ms', max: '10s', about: 'Deadline of a command; past it the gateway goes on without Redis' }
} as const satisfies Record<string, Variable>

export const KAFKA = {
  KAFKA_BROKERS: { kind: 'list', form: 'hostPort', original: 'KafkaBrokers', about: 'Addresses of Kafka brokers, host:port' },
  KAFKA_GROUP_ID: { kind: 'text', form: 'topic', default: 'im-gateway', original: 'KafkaGroupID', about: 'Beginning of the consumer group; node id and start id are added, for every node reads everything' },
  KAFKA_TOPIC: { kind: 'text', form: 'topic', default: 'group_msg', original: 'KafkaTopic', about: 'Topic of group messages' },
  KAFKA_MEMBERSHIP_TOPIC: { kind: 'text', form: 'topic', default: 'membership_change', about: 'Topic of joins and leaves' },
  KAFKA_RECEIPTS_TOPIC: { kind: 'text', form: 'topic', default: 'read_receipt_events', about: 'Topic of read receipts' },
  KAFKA_MIN_BYTES: { kind: 'size', default: '1', min: '1', max: '10MB', original: 'KafkaMinBytes', about: 'Bytes that a broker waits for before it answers a fetch' },
  KAFKA_MAX_BYTES: { kind: 'size', default: '10MB', min: '64KB', max: '256MB', original: 'KafkaMaxBytes', about: 'Bytes of one fetch at most' },
  KAFKA_MAX_WAIT: { kind: 'duration', default: '500ms', min: '10ms', max: '30s', about: 'How long a broker waits for KAFKA_MIN_BYTES' },
  KAFKA_COMMIT_INTERVAL: { kind: 'duration', default: '0s', min: '0s', max: '1h', original: 'KafkaCommitInterval', about: 'Time between offset commits, which only lag tools need; 0 is off' },
  KAFKA_SESSION_TIMEOUT: { kind: 'duration', default: '30s', min: '6s', max: '5m', about: 'Time without a heartbeat after which Kafka takes a node for dead' },
  KAFKA_METADATA_MAX_AGE: { kind: 'duration', default: '10s', min: '1s', max: '10m', about: 'How often new partitions are looked for' },
  KAFKA_READY_TIMEOUT: { kind: 'duration', default: '60s', min: '0s', max: '10m', about: 'How long readiness waits for Kafka\'s first fetch at start' },
  KAFKA_SASL_MECHANISM: { kind: 'choice', choices: ['plain', 'scram-sha-256', 'scram-sha-512'], about: 'How the user is proven to Kafka' },
  KAFKA_SASL_USERNAME: { kind: 'text', form: 'any', about: 'User in Kafka' },
  KAFKA_SASL_PASSWORD: { kind: 'text', form: 'any', secret: true, about: 'Password of the user in Kafka' },
  KAFKA_TLS: { kind: 'boolean', default: false, about: 'Whether Kafka is called over TLS; KAFKA_TLS_CA turns it on as well' },
  KAFKA_TLS_CA: { kind: 'text', form: 'pem', file: true, about: 'Certificates that sign those of Kafka (PEM)' },
  KAFKA_TLS_CERT: { kind: 'text', form: 'pem', file: true, about: 'Client certificate for Kafka (PEM)' },
  KAFKA_TLS_KEY: { kind: 'text', form: 'pem', secret: true, about: 'Its private key (PEM)' }
} as const satisfies Record<string, Variable>

export const GROUPS = {
  LARGE_GROUP_SIZE: { kind: 'integer', default: 1000, min: 1, max: 1_000_000, original: 'LargeGroupSize', about: 'Members up to which a group\'s whole list is kept' },
  MEMBERSHIP_CACHE_BYTES: { kind: 'size', default: '64MB', min: '1MB', max: '16GB', about: 'Memory for member lists and filters; least recently used ones leave first' },
  CACHE_TTL: { kind: 'duration', default: '5m', min: '1s', max: '24h', original: 'CacheTTL', about: 'How long member lists and routes are kept' },
  MAX_WAITING_GROUP_RECORDS: { kind: 'integer', default: 1000, min: 1, max: 1_000_000, about: 'Group records that may wait for member lists; past it a partition is paused' },
  MAX_WAITING_GROUP_BYTES: { kind: 'size', default: '8MB', min: '64KB', max: '4GB', about: 'Bytes of them, likewise' }
} as const satisfies Record<string, Variable>
