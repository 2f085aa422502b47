/** Where users are, in the cluster: opens etcd, decorates `registry`, and leaves no registration behind. */
import fp from 'fastify-plugin'
import type { Health, KvStore } from '../src/ports.ts'
import { ClusterRegistry, type ClusterRegistryOptions } from '../src/registry/cluster-registry.ts'
import { EtcdKv, type EtcdKvOptions } from './lib/etcd-kv.ts'

declare module 'fastify' {
  interface FastifyInstance {
    registry: ClusterRegistry
  }
}

export interface RegistryOptions extends Omit<ClusterRegistryOptions, 'kv'>, Omit<EtcdKvOptions, 'health'> {
  /** A ready store instead of etcd (embedding, tests); it is not closed here. */
  readonly kv?: KvStore | undefined
  readonly health: Health
}

export default fp<RegistryOptions>(async function registry (fastify, options) {
  if (options.maxDevicesPerUser < 1) throw new RangeError('maxDevicesPerUser has to be at least 1')
  if (options.renewIntervalMs * 2 > options.ttlMs) throw new RangeError('renewIntervalMs has to be at most half of ttlMs')
  const kv = options.kv ?? new EtcdKv(options)
  const cluster = new ClusterRegistry({ ...options, kv })
  fastify.decorate('registry', cluster)
  fastify.addHook('onClose', async () => {
    await cluster.close()
    if (options.kv === undefined) await kv.close()
  })
}, { name: 'registry', fastify: '5.x' })
