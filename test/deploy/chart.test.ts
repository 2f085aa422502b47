/** The chart in a real API server: what is installed is admitted and kept as it was written, an upgrade changes what it should, and nothing stays. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parseAllDocuments, stringify } from 'yaml'
import { startCluster, type Answer, type Cluster, type KubernetesObject } from '../helpers/cluster.ts'

t.setTimeout(280_000)

interface Pod { readonly metadata: { readonly labels: Readonly<Record<string, string>>, readonly annotations: Readonly<Record<string, string>> }, readonly spec: object }
interface Deployment extends KubernetesObject { readonly spec: { readonly replicas: number, readonly template: Pod } }
type Selector = Readonly<Record<string, string>>

const root = join(import.meta.dirname, '../..')
const CHART = join(root, 'charts/im-gateway')
const HIGRESS = join(root, 'deploy/kubernetes/higress-values.yaml')
const NAMESPACE = 'chat'
const NAME = 'chat-im-gateway'
const PLAIN = ['ConfigMap', 'Deployment', 'PodDisruptionBudget', 'Service', 'Service']
const ADDRESSES = { services: { auth: 'auth:9090', im: 'dns:///im:9090', user: 'user:9090', etcd: 'http://etcd-0.etcd:2379,http://etcd-1.etcd:2379', kafka: 'kafka-0.kafka:9092', redis: 'redis:6379' } }
/** Everything that is behind a flag. */
const OWN = {
  autoscaling: { enabled: true },
  serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
  prometheusRule: { enabled: true, runbookUrl: 'https://wiki.example/runbook' },
  networkPolicy: {
    enabled: true,
    imService: [{ podSelector: { matchLabels: { app: 'im' } } }],
    loadBalancer: [{ namespaceSelector: { matchLabels: { name: 'ingress' } } }],
    prometheus: [{ namespaceSelector: { matchLabels: { name: 'monitoring' } } }],
    egress: [{ to: [{ podSelector: { matchLabels: { app: 'etcd' } } }], ports: [{ port: 2379, protocol: 'TCP' }] }]
  },
  ingress: { enabled: true, className: 'nginx', host: 'chat.example', tlsSecret: 'chat-tls', annotations: { 'nginx.ingress.kubernetes.io/proxy-read-timeout': '3600' } },
  secrets: { name: 'chat', keys: ['GRPC_AUTH_TOKEN', 'JWT_SECRET'] },
  imagePullSecrets: [{ name: 'registry' }],
  tolerations: [{ key: 'chat', operator: 'Exists', effect: 'NoSchedule' }],
  affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'pool', operator: 'In', values: ['chat'] }] }] } } },
  podDisruptionBudget: { maxUnavailable: '25%' },
  podLabels: { team: 'chat' }
}

/** `helm install` and the like, with values of one's own behind the addresses. */
function helm (cluster: Cluster, command: 'install' | 'upgrade', values: object = {}, ...options: readonly string[]): Answer {
  return cluster.run('helm', [command, 'chat', CHART, '--namespace', NAMESPACE, '--values=-', ...options], stringify({ ...ADDRESSES, ...values }))
}

/** What helm sent, beside what the server keeps. */
function release (cluster: Cluster): { readonly written: KubernetesObject[], readonly stored: KubernetesObject[] } {
  const manifest = cluster.ask('helm', ['get', 'manifest', 'chat', '--namespace', NAMESPACE])
  return { written: parseAllDocuments(manifest, { version: '1.1' }).map((document) => document.toJS() as KubernetesObject), stored: cluster.stored(NAMESPACE, manifest) }
}

function notes (cluster: Cluster): string {
  return cluster.ask('helm', ['get', 'notes', 'chat', '--namespace', NAMESPACE])
}

/** The server writes large quantities shorter. */
function plain (object: KubernetesObject | undefined): KubernetesObject {
  return JSON.parse(JSON.stringify(object), (key, value: unknown) => key === 'averageValue' ? String(value).replace(/k$/, '000') : value) as KubernetesObject
}

/** The server adds what is left to it, and drops nothing. */
function keptAsWritten (t: Test, cluster: Cluster, kinds: readonly string[]): KubernetesObject[] {
  const { written, stored } = release(cluster)
  t.same(written.map(({ kind }) => kind).sort(), [...kinds].sort())
  for (const [i, object] of written.entries()) t.hasStrict(plain(stored[i]), object, `${object.kind} ${object.metadata.name}`)
  return stored
}

function deploymentOf (objects: readonly KubernetesObject[]): Deployment {
  return objects.find(({ kind }) => kind === 'Deployment') as Deployment
}

/** Kinds of what an upgrade changed, against what was kept before. */
function changed (before: readonly KubernetesObject[], after: readonly KubernetesObject[]): string[] {
  const versions = new Set(before.map(({ kind, metadata }) => `${kind} ${metadata.name} ${metadata.resourceVersion}`))
  return after.filter(({ kind, metadata }) => !versions.has(`${kind} ${metadata.name} ${metadata.resourceVersion}`)).map(({ kind }) => kind).sort()
}

function upgraded (t: Test, cluster: Cluster, values: object, ...options: readonly string[]): void {
  const { code, words } = helm(cluster, 'upgrade', values, ...options)
  t.equal(code, 0, words)
}

t.test('helm installs the chart into a real API server, upgrades it, rolls it back and takes it away', async (t) => {
  const cluster = await startCluster(t)
  cluster.ask('kubectl', ['create', 'namespace', NAMESPACE])
  // Pods with rights are refused in it.
  cluster.ask('kubectl', ['label', 'namespace', NAMESPACE, 'pod-security.kubernetes.io/enforce=restricted'])
  const bare = cluster.everything(NAMESPACE)

  await t.test('each object of an installation is admitted, and kept as it was written', async (t) => {
    const { code, words } = helm(cluster, 'install')
    t.equal(code, 0, words)
    t.notMatch(words, /warning/i)
    t.equal(deploymentOf(keptAsWritten(t, cluster, PLAIN)).spec.replicas, 3)
  })

  await t.test('its pods are admitted where pods may have no rights', async (t) => {
    const { metadata, spec } = deploymentOf(release(cluster).stored).spec.template
    const admit = (changes: object): Answer => cluster.run('kubectl', ['create', '--namespace', NAMESPACE, '--dry-run=server', '--filename=-'], JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, name: 'gateway' }, spec: { ...spec, ...changes } }))
    const { code, words } = admit({})
    t.equal(code, 0, words)
    t.match(admit({ securityContext: {} }).words, /violates PodSecurity "restricted/, 'others are not')
  })

  await t.test('an upgrade to the same values changes nothing', async (t) => {
    const before = release(cluster).stored
    upgraded(t, cluster, {})
    t.same(changed(before, release(cluster).stored), [])
  })

  await t.test('a setting that changes is a rollout, and nothing else changes', async (t) => {
    const before = release(cluster).stored
    upgraded(t, cluster, { config: { LOG_LEVEL: 'warn' } })
    const after = keptAsWritten(t, cluster, PLAIN)
    t.same(changed(before, after), ['ConfigMap', 'Deployment'])
    const [old, next] = [deploymentOf(before), deploymentOf(after)]
    t.equal(next.metadata.generation, old.metadata.generation + 1)
    const checksum = ({ spec }: Deployment): string | undefined => spec.template.metadata.annotations['checksum/config']
    t.not(checksum(next), checksum(old))
    const without = ({ spec }: Deployment): object => ({ ...spec, template: { ...spec.template, metadata: { ...spec.template.metadata, annotations: {} } } })
    t.strictSame(without(next), without(old))
  })

  await t.test('what is not the pods\' is no rollout', async (t) => {
    const before = release(cluster).stored
    upgraded(t, cluster, { config: { LOG_LEVEL: 'warn' }, podDisruptionBudget: { maxUnavailable: 2 } })
    t.same(changed(before, release(cluster).stored), ['PodDisruptionBudget'])
  })

  await t.test('everything behind a flag is admitted as written, and leads to the pods', async (t) => {
    upgraded(t, cluster, OWN)
    const stored = keptAsWritten(t, cluster, [...PLAIN, 'HorizontalPodAutoscaler', 'Ingress', 'NetworkPolicy', 'PrometheusRule', 'ServiceMonitor'])
    const find = (kind: string): KubernetesObject => stored.find((object) => object.kind === kind) as KubernetesObject
    const deployment = deploymentOf(stored)
    t.equal(deployment.spec.replicas, 3, 'as many pods as before, until the autoscaler says otherwise')
    t.match(find('HorizontalPodAutoscaler').spec, { scaleTargetRef: { apiVersion: deployment.apiVersion, kind: 'Deployment', name: deployment.metadata.name } })
    const { labels } = deployment.spec.template.metadata
    const selectors = [find('PodDisruptionBudget').spec['selector'], find('NetworkPolicy').spec['podSelector'], deployment.spec['selector' as never]] as Array<{ readonly matchLabels: Selector }>
    for (const { matchLabels } of selectors) t.match(labels, matchLabels)
    const services = stored.filter(({ kind }) => kind === 'Service')
    for (const { spec } of services) t.match(labels, spec['selector'] as Selector)
    const { matchLabels } = find('ServiceMonitor').spec['selector'] as { readonly matchLabels: Selector }
    for (const { metadata } of services) t.match(metadata.labels, matchLabels)
    t.match(notes(cluster), /All clients count as one .* set config\.TRUSTED_PROXIES/)
  })

  const config = { LOG_LEVEL: 'debug', TRUSTED_PROXIES: '10.244.0.0/16' }
  await t.test('an upgrade leaves the number of pods to the autoscaler', async (t) => {
    cluster.ask('kubectl', ['scale', 'deployment', NAME, '--namespace', NAMESPACE, '--replicas=7'])
    upgraded(t, cluster, { ...OWN, config })
    t.equal(deploymentOf(release(cluster).stored).spec.replicas, 7)
    t.notMatch(notes(cluster), /TRUSTED_PROXIES/)
  })

  await t.test('a wrong value is refused by name before anything changes', async (t) => {
    const before = release(cluster).stored
    for (const [values, named] of [[{ ports: { ws: 70_000, grpc: 9093 } }, /\/ports\/ws': maximum: got 70,000, want 65,535/], [{ replicas: 5 }, /replicas/], [{ config: { GRPC_AUTH_TOKEN: 'x' } }, /config\.GRPC_AUTH_TOKEN: it is among secrets\.keys/]] as const) {
      const { code, words } = helm(cluster, 'upgrade', { ...OWN, ...values })
      t.not(code, 0)
      t.match(words, named)
    }
    const { code, words } = helm(cluster, 'upgrade', { ...OWN, config, resources: { limits: { memory: 'much' } } })
    t.not(code, 0, 'what only the server can tell')
    t.match(words, /quantities must match/)
    t.same(changed(before, release(cluster).stored), [])
  })

  await t.test('a rollback brings the first installation back', async (t) => {
    cluster.ask('helm', ['rollback', 'chat', '1', '--namespace', NAMESPACE])
    t.equal(deploymentOf(keptAsWritten(t, cluster, PLAIN)).spec.replicas, 3)
    t.same(cluster.everything(NAMESPACE).filter((name) => /autoscaler|ingress|networkpolicy|monitoring/.test(name)), [])
  })

  await t.test('the Ingress for Higress routes /ws to the Service', async (t) => {
    upgraded(t, cluster, {}, '--values', HIGRESS)
    const ingress = keptAsWritten(t, cluster, [...PLAIN, 'Ingress']).find(({ kind }) => kind === 'Ingress')
    t.match(ingress?.spec, { ingressClassName: 'higress', rules: [{ host: 'chat.example.com', http: { paths: [{ path: '/ws', pathType: 'Exact', backend: { service: { name: NAME, port: { name: 'ws' } } } }] } }] })
  })

  await t.test('the Gateway, the route and the policy for Envoy Gateway are admitted, and lead to the Service', async (t) => {
    const manifest = readFileSync(join(root, 'deploy/kubernetes/envoy-gateway.yaml'), 'utf8')
    const written = parseAllDocuments(manifest).map((document) => document.toJS() as KubernetesObject)
    t.same(written.map(({ kind }) => kind), ['Gateway', 'HTTPRoute', 'BackendTrafficPolicy'])
    const apply = (manifest: string): Answer => cluster.run('kubectl', ['apply', '--namespace', NAMESPACE, '--validate=strict', '--filename=-'], manifest)
    t.match(apply(manifest.replace('Exact', 'Whole')), { code: 1, words: /path\.type: Unsupported value: "Whole"/ })
    t.match(apply(manifest.replace('LeastRequest', 'LeastRequests')), { code: 1, words: /loadBalancer\.type: Unsupported value: "LeastRequests"/ })
    t.match(apply(manifest), { code: 0 })
    for (const [i, stored] of cluster.stored(NAMESPACE, manifest).entries()) t.hasStrict(stored, written[i])
    const [, route, policy] = written
    t.match(policy?.spec['targetRefs'], [{ kind: route?.kind, name: route?.metadata.name }])
    const [{ backendRefs: [backend] }] = route?.spec['rules'] as [{ readonly backendRefs: [{ readonly name: string, readonly port: number }] }]
    const service = release(cluster).stored.find(({ kind, metadata }) => kind === 'Service' && metadata.name === backend.name)
    t.match(service?.spec['ports'], [{ port: backend.port, targetPort: 'ws' }])
    cluster.ask('kubectl', ['delete', '--namespace', NAMESPACE, '--filename=-'], manifest)
  })

  await t.test('uninstalled, nothing of it stays', async (t) => {
    t.not(cluster.everything(NAMESPACE).length, bare.length)
    cluster.ask('helm', ['uninstall', 'chat', '--namespace', NAMESPACE])
    t.same(cluster.everything(NAMESPACE), bare)
  })
})
