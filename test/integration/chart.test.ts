import t from 'tap'
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'
import { loadConfig } from '../../src/config.ts'
import { canBeFile } from '../../src/config/parse.ts'
import { VARIABLE_NAMES, VARIABLES } from '../../src/config/table.ts'

interface KubernetesObject { readonly kind: string, readonly metadata: { readonly name: string } }
interface Service extends KubernetesObject { readonly spec: { readonly clusterIP?: string, readonly type?: string, readonly selector: Labels, readonly ports: { readonly name: string, readonly port: number, readonly targetPort: string }[] } }
interface ConfigMap extends KubernetesObject { readonly data: Readonly<Record<string, string>> }
type Labels = Readonly<Record<string, string>>
interface Probe { readonly httpGet: { readonly path: string, readonly port: string, readonly scheme: string } }
interface Container {
  readonly image: string
  readonly command?: unknown
  readonly env: { readonly name: string, readonly value?: string, readonly valueFrom?: { readonly fieldRef: { readonly fieldPath: string } } }[]
  readonly envFrom: { readonly configMapRef: { readonly name: string } }[]
  readonly ports: { readonly name: string, readonly containerPort: number }[]
  readonly volumeMounts: { readonly name: string, readonly mountPath: string, readonly readOnly: boolean }[]
  readonly lifecycle: { readonly preStop: unknown }
  readonly startupProbe: Probe
  readonly livenessProbe: Probe
  readonly readinessProbe: Probe
  readonly securityContext: unknown
  readonly resources: { readonly limits: Labels }
}
interface Deployment extends KubernetesObject {
  readonly spec: {
    readonly replicas?: number
    readonly strategy: { readonly rollingUpdate: unknown }
    readonly selector: { readonly matchLabels: Labels }
    readonly template: {
      readonly metadata: { readonly labels: Labels, readonly annotations: Labels }
      readonly spec: {
        readonly containers: Container[]
        readonly terminationGracePeriodSeconds: number
        readonly securityContext: { readonly runAsNonRoot: boolean, readonly runAsUser: number }
        readonly automountServiceAccountToken: boolean
        readonly topologySpreadConstraints: { readonly topologyKey: string, readonly labelSelector: { readonly matchLabels: Labels } }[]
        readonly volumes: { readonly name: string, readonly secret: { readonly secretName: string, readonly items: { readonly key: string, readonly path: string }[] } }[]
      }
    }
  }
}

const root = join(import.meta.dirname, '..', '..')
const bin = execFileSync('bash', [join(root, 'scripts/tools.sh'), 'helm', 'kubernetes-validate'], { encoding: 'utf8', timeout: 900_000 }).trim()
const chart = join(root, 'charts/im-gateway')
const ADDRESSES = [
  'services.auth=auth.chat.svc:9090', 'services.im=dns:///im.chat.svc:9090', 'services.user=user.chat.svc:9090',
  'services.etcd=http://etcd-0.etcd:2379\\,http://etcd-1.etcd:2379', 'services.kafka=kafka-0.kafka:9092\\,kafka-1.kafka:9092', 'services.redis=redis:6379'
]

function helm (args: readonly string[]): { readonly code: number | null, readonly output: string, readonly words: string } {
  const { status, stdout, stderr } = spawnSync(join(bin, 'helm'), args, { encoding: 'utf8', timeout: 30_000 })
  return { code: status, output: stdout, words: stderr }
}

function template (...settings: string[]): ReturnType<typeof helm> {
  return helm(['template', 'chat', chart, '--kube-version', '1.34.0', ...settings.flatMap((setting) => ['--set', setting])])
}

function objects (output: string): KubernetesObject[] {
  return parseAllDocuments(output).map((document) => {
    if (document.errors.length > 0) throw new Error(String(document.errors[0]))
    return document.toJS() as KubernetesObject
  })
}

function find<T extends KubernetesObject> (output: string, kind: string, name: string): T {
  const found = objects(output).find((object) => object.kind === kind && object.metadata.name === name)
  if (found === undefined) throw new Error(`no ${kind} ${name}`)
  return found as T
}

t.test('The chart is clean for helm and renders a Deployment with its budget, two Services and a ConfigMap', async (t) => {
  const lint = helm(['lint', '--strict', chart, ...ADDRESSES.flatMap((setting) => ['--set', setting])])
  t.equal(lint.code, 0, lint.output + lint.words)
  const { code, output, words } = template(...ADDRESSES)
  t.equal(code, 0, words)
  t.same(objects(output).map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort(), ['ConfigMap chat-im-gateway', 'Deployment chat-im-gateway', 'PodDisruptionBudget chat-im-gateway', 'Service chat-im-gateway', 'Service chat-im-gateway-grpc'])

  const deployment = find<Deployment>(output, 'Deployment', 'chat-im-gateway')
  const ws = find<Service>(output, 'Service', 'chat-im-gateway')
  const grpc = find<Service>(output, 'Service', 'chat-im-gateway-grpc')
  t.match(ws.spec, { type: 'ClusterIP', ports: [{ name: 'ws', port: 8080, targetPort: 'ws' }] })
  t.match(grpc.spec, { clusterIP: 'None', publishNotReadyAddresses: true, ports: [{ name: 'grpc', port: 9093, targetPort: 'grpc' }] })
  for (const selector of [ws.spec.selector, grpc.spec.selector, deployment.spec.selector.matchLabels]) {
    t.match(deployment.spec.template.metadata.labels, selector)
  }
})

t.test('The values of its README are taken', async (t) => {
  const [, values = ''] = /^```yaml\n([^]*?)^```$/m.exec(readFileSync(join(chart, 'README.md'), 'utf8')) ?? []
  const file = join(t.testdir({ 'values.yaml': values }), 'values.yaml')
  const { code, output, words } = helm(['template', 'chat', chart, '--kube-version', '1.34.0', '-f', file])
  t.equal(code, 0, words)
  const kinds = parseAllDocuments(output).map((document) => (document.toJS() as KubernetesObject).kind)
  for (const kind of ['Deployment', 'HorizontalPodAutoscaler', 'Ingress', 'ServiceMonitor', 'PrometheusRule']) t.ok(kinds.includes(kind), kind)
  t.match(output, /ADMIN_PORT: "9190"/)
})

t.test('The Deployment has three pods without rights that leave in order', async (t) => {
  const { spec } = find<Deployment>(template(...ADDRESSES).output, 'Deployment', 'chat-im-gateway')
  const pod = spec.template.spec
  const [container] = pod.containers as [Container]
  t.equal(spec.replicas, 3)
  t.same(spec.strategy.rollingUpdate, { maxUnavailable: 0, maxSurge: 1 })
  t.equal(container.image, 'im-gateway:0.1.0')
  t.equal(container.command, undefined, 'the image says what runs')
  t.match(container.ports, [{ name: 'ws', containerPort: 8080 }, { name: 'grpc', containerPort: 9093 }])

  t.equal(pod.terminationGracePeriodSeconds, 120)
  t.same(container.lifecycle.preStop, { sleep: { seconds: 10 } }, 'the native sleep, for the image needs no shell')
  t.match(pod.securityContext, { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } })
  t.same(container.securityContext, { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } })
  t.equal(pod.automountServiceAccountToken, false)
  t.same(Object.keys(container.resources.limits), ['memory'], 'a CPU limit would stall every connection of the pod')

  t.equal(container.startupProbe.httpGet.path, '/healthz')
  t.equal(container.livenessProbe.httpGet.path, '/healthz')
  t.equal(container.readinessProbe.httpGet.path, '/readyz')
  for (const probe of [container.startupProbe, container.livenessProbe, container.readinessProbe]) t.match(probe.httpGet, { port: 'ws', scheme: 'HTTP' })
  const [secure] = find<Deployment>(template(...ADDRESSES, 'secrets.keys={GRPC_AUTH_TOKEN,WS_TLS_CERT,WS_TLS_KEY}').output, 'Deployment', 'chat-im-gateway').spec.template.spec.containers as [Container]
  for (const probe of [secure.startupProbe, secure.livenessProbe, secure.readinessProbe]) t.equal(probe.httpGet.scheme, 'HTTPS')
})

t.test('The pod knows its name and address, and its secrets are files', async (t) => {
  const { output } = template(...ADDRESSES, 'secrets.keys={GRPC_AUTH_TOKEN,JWT_SECRET}', 'secrets.name=chat')
  const { spec } = find<Deployment>(output, 'Deployment', 'chat-im-gateway')
  const [container] = spec.template.spec.containers as [Container]
  t.same(container.env, [
    { name: 'GATEWAY_NODE_ID', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
    { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
    { name: 'GRPC_ADVERTISE_ADDR', value: '$(POD_IP):9093' },
    { name: 'GRPC_AUTH_TOKEN_FILE', value: '/etc/im-gateway/secrets/GRPC_AUTH_TOKEN' },
    { name: 'JWT_SECRET_FILE', value: '/etc/im-gateway/secrets/JWT_SECRET' }
  ])
  t.same(container.envFrom, [{ configMapRef: { name: 'chat-im-gateway' } }])
  t.same(container.volumeMounts, [{ name: 'secrets', mountPath: '/etc/im-gateway/secrets', readOnly: true }])
  const [volume] = spec.template.spec.volumes
  t.equal(volume?.secret.secretName, 'chat')
  t.same(volume?.secret.items, [{ key: 'GRPC_AUTH_TOKEN', path: 'GRPC_AUTH_TOKEN' }, { key: 'JWT_SECRET', path: 'JWT_SECRET' }])
})

const SECRET = 'x'.repeat(40)
const PROBE = { hostName: () => 'pod', memoryLimitBytes: () => 1664 * 1024 * 1024, openFilesLimit: () => 1_048_576, readFile: () => `${SECRET}\n` }

/** The variables of a container as Kubernetes gives them to it. */
function podOf (data: Readonly<Record<string, string>>, { env }: Container, podIp: string): Record<string, string> {
  const pod: Record<string, string> = { ...data }
  for (const { name, value } of env) pod[name] = (value ?? (name === 'POD_IP' ? podIp : 'chat-im-gateway-0')).replace('$(POD_IP)', podIp)
  return pod
}

t.test('Pods of a cluster with IPv6 alone listen there and tell an address that can be read', async (t) => {
  const { output } = template(...ADDRESSES, 'secrets.keys={GRPC_AUTH_TOKEN,JWT_SECRET}', 'connectionsPerPod=30000', 'ipFamily=IPv6')
  const [container] = find<Deployment>(output, 'Deployment', 'chat-im-gateway').spec.template.spec.containers as [Container]
  const { ws, grpc } = loadConfig(podOf(find<ConfigMap>(output, 'ConfigMap', 'chat-im-gateway').data, container, 'fd00::12'), { requireServices: true, probe: PROBE })
  t.same([ws.host, grpc.host, grpc.advertiseAddr], ['::', '::', '[fd00::12]:9093'])
  t.match(template(...ADDRESSES, 'ipFamily=IPv5').words, /ipFamily/)
})

t.test('The gateway accepts the configuration that the chart gives it, and a change of it is a rollout', async (t) => {
  const { output } = template(...ADDRESSES, 'secrets.keys={GRPC_AUTH_TOKEN,JWT_SECRET}', 'connectionsPerPod=30000', 'config.LOG_LEVEL=warn', 'config.ALLOW_QUERY_TOKEN=false')
  const { data } = find<ConfigMap>(output, 'ConfigMap', 'chat-im-gateway')
  const { spec } = find<Deployment>(output, 'Deployment', 'chat-im-gateway')
  const [container] = spec.template.spec.containers as [Container]
  const config = loadConfig(podOf(data, container, '10.1.2.3'), { requireServices: true, probe: PROBE })
  t.equal(config.node.nodeId, 'chat-im-gateway-0')
  t.equal(config.grpc.advertiseAddr, '10.1.2.3:9093')
  t.equal(config.grpc.authToken, SECRET)
  t.equal(config.limits.maxConnections, 30_000)
  t.equal(data['DRAIN_TIMEOUT'], '90s')
  t.equal(data['GRACE_PERIOD'], '120s')

  const checksum = (text: string): string | undefined => find<Deployment>(text, 'Deployment', 'chat-im-gateway').spec.template.metadata.annotations['checksum/config']
  t.ok(checksum(output))
  t.not(checksum(output), checksum(template(...ADDRESSES, 'config.LOG_LEVEL=info').output))
})

t.test('What would be a pod that does not start is refused by name', async (t) => {
  for (const name of ['auth', 'im', 'user', 'etcd', 'kafka', 'redis']) {
    const { code, words } = template(...ADDRESSES.filter((setting) => !setting.startsWith(`services.${name}=`)))
    t.not(code, 0)
    t.match(words, `services.${name}: `)
  }
  t.equal(template(...ADDRESSES.slice(1), 'config.AUTH_MODE=local').code, 0, 'no Auth Service with AUTH_MODE=local')
  t.match(template(...ADDRESSES, 'secrets.keys={JWT_SECRET}').words, /secrets\.keys: callers of the gRPC port/)
  t.match(template(...ADDRESSES, 'shutdown.drainTimeoutSeconds=110', 'shutdown.gracePeriodSeconds=120').words, /gracePeriodSeconds must exceed/)
  t.match(template(...ADDRESSES, 'autoscaling.enabled=true', 'autoscaling.maxReplicas=2').words, /maxReplicas must not be below/)
  t.match(template(...ADDRESSES, 'ports.grpc=8080').words, /ports: ws and grpc must differ/)
  for (const name of ['WS_TLS_CERT', 'WS_TLS_KEY']) t.match(template(...ADDRESSES, `secrets.keys={GRPC_AUTH_TOKEN,${name}}`).words, /WS_TLS_CERT and WS_TLS_KEY come together/)
  t.match(template(...ADDRESSES, 'podLabels.app\\.kubernetes\\.io/name=x').words, /podLabels\.app\.kubernetes\.io\/name: the pods are found by it/)
  t.match(helm(['template', '1chat', chart, '--kube-version', '1.34.0', ...ADDRESSES.flatMap((setting) => ['--set', setting])]).words, /the release 1chat: its name begins with a letter/)
  t.match(template(...ADDRESSES, 'config.WORKERS=4').words, /config\.WORKERS: a pod is one process/)
  t.match(template(...ADDRESSES, 'config.WS_PORT=81').words, /config\.WS_PORT: the chart sets it/)
  t.match(template(...ADDRESSES, 'config.GRPC_AUTH_TOKEN=x').words, /config\.GRPC_AUTH_TOKEN: it is among secrets\.keys/)
})

t.test('Names, numbers and a stop at once become what Kubernetes and the gateway take', async (t) => {
  const named = (release: string, ...more: string[]) => helm(['template', release, chart, '--kube-version', '1.34.0', ...ADDRESSES.flatMap((setting) => ['--set', setting]), ...more]).output
  for (const release of ['my.chat', 'a'.repeat(53), `${'b'.repeat(51)}.c`]) {
    const names = objects(named(release)).map(({ metadata }) => metadata.name)
    t.equal(names.length, 5)
    for (const name of names) t.match(name, /^[a-z][a-z0-9-]{0,61}[a-z0-9]$/, release)
  }
  const { data } = find<ConfigMap>(named('chat', '--set-json', 'config={"OTEL_TRACES_SAMPLER_ARG":0.25,"EXPLAIN_BYTES":10000000,"ALLOW_QUERY_TOKEN":true}'), 'ConfigMap', 'chat-im-gateway')
  t.match(data, { OTEL_TRACES_SAMPLER_ARG: '0.25', EXPLAIN_BYTES: '10000000', ALLOW_QUERY_TOKEN: 'true' })
  const atOnce = find<Deployment>(named('chat', '--set', 'shutdown.preStopSeconds=0'), 'Deployment', 'chat-im-gateway')
  t.equal(atOnce.spec.template.spec.containers[0]?.lifecycle, undefined, 'a sleep of nothing is refused before Kubernetes 1.32')
  t.match(named('chat', '--set', 'autoscaling.enabled=true,connectionsPerPod=1'), /averageValue: "1"/)
})

t.test('The network is closed and the way from outside is /ws alone, where that is asked for', async (t) => {
  const peers = ['imService[0].podSelector.matchLabels.app=im', 'loadBalancer[0].namespaceSelector.matchLabels.name=ingress', 'prometheus[0].namespaceSelector.matchLabels.name=monitoring', 'egress[0].to[0].podSelector.matchLabels.app=etcd']
  const settings = ['networkPolicy.enabled=true', ...peers.map((peer) => `networkPolicy.${peer}`), 'ingress.enabled=true', 'ingress.host=chat.example', 'ingress.tlsSecret=chat-tls']
  const { code, output, words } = template(...ADDRESSES, ...settings)
  t.equal(code, 0, words)
  const { spec } = find<Deployment>(output, 'Deployment', 'chat-im-gateway')
  const own = { podSelector: { matchLabels: spec.selector.matchLabels } }
  const policy = find<KubernetesObject & { readonly spec: unknown }>(output, 'NetworkPolicy', 'chat-im-gateway')
  t.strictSame(policy.spec, {
    podSelector: own.podSelector,
    policyTypes: ['Ingress', 'Egress'],
    ingress: [
      { from: [own, { podSelector: { matchLabels: { app: 'im' } } }], ports: [{ port: 'grpc', protocol: 'TCP' }] },
      { from: [{ namespaceSelector: { matchLabels: { name: 'ingress' } } }, { namespaceSelector: { matchLabels: { name: 'monitoring' } } }], ports: [{ port: 'ws', protocol: 'TCP' }] }
    ],
    egress: [
      { to: [own], ports: [{ port: 'grpc', protocol: 'TCP' }] },
      { to: [{ namespaceSelector: {} }], ports: [{ port: 53, protocol: 'UDP' }, { port: 53, protocol: 'TCP' }] },
      { to: [{ podSelector: { matchLabels: { app: 'etcd' } } }] }
    ]
  })
  const ingress = find<KubernetesObject & { readonly spec: unknown }>(output, 'Ingress', 'chat-im-gateway')
  t.strictSame(ingress.spec, {
    tls: [{ hosts: ['chat.example'], secretName: 'chat-tls' }],
    rules: [{ host: 'chat.example', http: { paths: [{ path: '/ws', pathType: 'Exact', backend: { service: { name: 'chat-im-gateway', port: { name: 'ws' } } } }] } }]
  })
  for (const [at, peer] of peers.entries()) {
    const name = peer.replace(/\[.*/, '')
    t.match(template(...ADDRESSES, ...settings.filter((_, i) => i !== at + 1)).words, new RegExp(`networkPolicy\\.${name}: it may not be empty`))
  }
  t.match(template(...ADDRESSES, 'ingress.enabled=true').words, /ingress\.host: the host is required/)
  t.match(template(...ADDRESSES, 'config.REDIS_PASSWORD=x').words, /config\.REDIS_PASSWORD: it is a secret/)
})

interface Rendered extends KubernetesObject { readonly metadata: { readonly name: string, readonly labels: Labels }, readonly spec: unknown }
const valuesText = readFileSync(join(chart, 'values.yaml'), 'utf8')

t.test('Everything that Kubernetes knows by itself agrees with its schemas', async (t) => {
  const peers = ['imService[0]', 'loadBalancer[0]', 'prometheus[0]', 'egress[0].to[0]'].map((path) => `networkPolicy.${path}.podSelector.matchLabels.app=a`)
  const { output } = template(...ADDRESSES, 'networkPolicy.enabled=true', ...peers, 'ingress.enabled=true', 'ingress.host=chat.example', 'ingress.tlsSecret=chat-tls', 'autoscaling.enabled=true')
  const validate = (text: string): { readonly code: number | null, readonly words: string } => {
    const file = join(t.testdir({}), 'rendered.yaml')
    writeFileSync(file, text)
    const { status, stdout, stderr } = spawnSync(join(bin, 'kubernetes-validate'), ['-k', '1.34', '--strict', file], { encoding: 'utf8', timeout: 30_000 })
    return { code: status, words: stdout + stderr }
  }
  const { code, words } = validate(output)
  t.equal(code, 0, words)
  t.equal(words.match(/ passed for resource /g)?.length, objects(output).length, 'each has a schema')
  t.equal(validate(output.replace('maxUnavailable: 1', 'maxUnavailables: 1')).code, 1, 'a fault would be found')
})

t.test('The grace period follows from the drain, and the pod and the gateway are told the same', async (t) => {
  const seconds = (...settings: string[]): unknown[] => {
    const { output } = template(...ADDRESSES, ...settings)
    return [find<Deployment>(output, 'Deployment', 'chat-im-gateway').spec.template.spec.terminationGracePeriodSeconds, find<ConfigMap>(output, 'ConfigMap', 'chat-im-gateway').data['GRACE_PERIOD']]
  }
  t.same(seconds('shutdown.drainTimeoutSeconds=200'), [230, '230s'])
  t.same(seconds('shutdown.gracePeriodSeconds=300'), [300, '300s'])
})

t.test('Pods are spread over machines and zones, and leave one at a time', async (t) => {
  const { output } = template(...ADDRESSES)
  const { spec } = find<Deployment>(output, 'Deployment', 'chat-im-gateway')
  const { topologySpreadConstraints: spread } = spec.template.spec
  t.same(spread.map(({ topologyKey }) => topologyKey), ['kubernetes.io/hostname', 'topology.kubernetes.io/zone'])
  for (const { labelSelector } of spread) t.same(labelSelector.matchLabels, spec.selector.matchLabels)
  t.same(find<Rendered>(output, 'PodDisruptionBudget', 'chat-im-gateway').spec, { maxUnavailable: 1, selector: spec.selector })
  t.notMatch(template(...ADDRESSES, 'podDisruptionBudget.enabled=false').output, /PodDisruptionBudget/)
})

t.test('The autoscaler counts CPU and connections, and nobody else says how many pods there are', async (t) => {
  const { output } = template(...ADDRESSES, 'autoscaling.enabled=true', 'connectionsPerPod=50000')
  t.equal(find<Deployment>(output, 'Deployment', 'chat-im-gateway').spec.replicas, undefined)
  t.match(find<Rendered>(output, 'HorizontalPodAutoscaler', 'chat-im-gateway').spec, {
    scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'chat-im-gateway' },
    minReplicas: 3,
    maxReplicas: 12,
    metrics: [
      { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
      { type: 'Pods', pods: { metric: { name: 'im_gateway_connections' }, target: { type: 'AverageValue', averageValue: '30000' } } }
    ],
    behavior: { scaleDown: { stabilizationWindowSeconds: 1800 } }
  })
  const adapter = parse(readFileSync(join(root, 'deploy/kubernetes/prometheus-adapter-values.yaml'), 'utf8')) as { readonly rules: { readonly custom: ReadonlyArray<{ readonly seriesQuery: string }> } }
  t.match(adapter.rules.custom, [{ seriesQuery: /^im_gateway_connections\{/ }], 'the adapter is told of the same metric')
})

t.test('Prometheus finds the port with the metrics, and gets the rules of deploy/prometheus with a runbook of one\'s own', async (t) => {
  const settings = ['serviceMonitor.enabled=true', 'serviceMonitor.labels.release=prometheus', 'prometheusRule.enabled=true', 'prometheusRule.labels.release=prometheus', 'prometheusRule.runbookUrl=https://wiki.example/runbook']
  const { code, output, words } = template(...ADDRESSES, ...settings)
  t.equal(code, 0, words)
  const monitor = find<Rendered>(output, 'ServiceMonitor', 'chat-im-gateway')
  t.match(monitor.metadata.labels, { release: 'prometheus' })
  t.match(monitor.spec, { endpoints: [{ port: 'ws', path: '/metrics', scheme: 'http', interval: '15s' }], selector: { matchLabels: find<Service>(output, 'Service', 'chat-im-gateway').spec.selector } })
  t.match(find<Rendered>(template(...ADDRESSES, ...settings, 'secrets.keys={GRPC_AUTH_TOKEN,WS_TLS_CERT,WS_TLS_KEY}', 'serviceMonitor.tlsConfig.serverName=chat.example').output, 'ServiceMonitor', 'chat-im-gateway').spec,
    { endpoints: [{ scheme: 'https', tlsConfig: { serverName: 'chat.example' } }] })

  const rule = find<Rendered>(output, 'PrometheusRule', 'chat-im-gateway')
  t.match(rule.metadata.labels, { release: 'prometheus' })
  const own = readFileSync(join(root, 'deploy/prometheus/im-gateway.rules.yaml'), 'utf8')
  t.same(rule.spec, parse(own.replaceAll('docs/runbook.md#', 'https://wiki.example/runbook#').replace('absent(im_gateway_build_info)', 'absent(im_gateway_build_info{namespace="default",job="chat-im-gateway"})')))
  t.match(output, /runbook_url: https:\/\/wiki\.example\/runbook#imgatewayabsent/)
})

/** Paths of the values; a list, and what has no keys, is a leaf. */
function paths (value: unknown, path = ''): string[] {
  const isGroup = typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0
  return isGroup ? Object.entries(value).flatMap(([name, inner]) => paths(inner, `${path}.${name}`)) : [path]
}

t.test('Settings and secrets are the variables that the gateway has, and what is for Node or malloc', async (t) => {
  const { definitions } = JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as { readonly definitions: Readonly<Record<'variable' | 'file', { readonly enum: string[] }>> }
  t.strictSame(definitions.variable.enum, VARIABLE_NAMES)
  t.strictSame(definitions.file.enum, VARIABLE_NAMES.filter((name) => canBeFile(VARIABLES[name])).map((name) => `${name}_FILE`))
  for (const name of ['NODE_OPTIONS', 'MALLOC_CONF', 'UPSTREAM_TLS_CA_FILE']) t.equal(template(...ADDRESSES, `config.${name}=x`).code, 0, name)
})

t.test('Each value has its type in the schema, and a wrong one is refused by name', async (t) => {
  interface Schema { readonly properties?: Readonly<Record<string, Schema>> }
  const schema = JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as Schema
  const leaves = ({ properties = {} }: Schema, path = ''): string[] => Object.entries(properties).flatMap(([name, inner]) => inner.properties === undefined ? [`${path}.${name}`] : leaves(inner, `${path}.${name}`))
  const known = leaves(schema)
  for (const path of paths(parse(valuesText))) t.ok(known.some((each) => path === each || path.startsWith(`${each}.`)), path)
  const given = paths(parse(valuesText))
  for (const path of known) if (path !== '.global') t.ok(given.some((each) => each === path || each.startsWith(`${path}.`)), `${path} is a value`)

  const faults: ReadonlyArray<readonly [setting: string, named: RegExp]> = [
    ['replicas=5', /replicas/], ['connectionsPerPod=many', /connectionsPerPod/], ['ports.ws=70000', /ports.*ws/s], ['image.pullPolicy=Sometimes', /pullPolicy/], ['config.lower=1', /lower/], ['config.MAX_CONECTIONS=1', /MAX_CONECTIONS/], ['config.MAX_CONNECTIONS_FILE=1', /MAX_CONNECTIONS_FILE/], ['secrets.keys={JWT_SECRT}', /secrets.*keys/s],
    ['shutdown.drainTimeoutSeconds=0', /drainTimeoutSeconds/], ['secrets.keys={jwt}', /secrets.*keys/s], ['autoscaling.connectionsPercent=120', /connectionsPercent/], ['serviceMonitor.interval=often', /interval/], ['secrets.name=A_b', /secrets.*name/s], ['secrets.name=', /secrets.*name/s], ['replicaCount=-1', /replicaCount/], ['podDisruptionBudget.maxUnavailable=0', /maxUnavailable/], ['podDisruptionBudget.maxUnavailable=200%', /maxUnavailable/]
  ]
  for (const name of ['replicaCount', 'connectionsPerPod', 'image', 'services', 'config', 'secrets', 'ports', 'service', 'ingress', 'networkPolicy', 'shutdown', 'podDisruptionBudget', 'podDisruptionBudget.maxUnavailable', 'autoscaling', 'serviceMonitor', 'prometheusRule']) {
    t.match(template(...ADDRESSES, `${name}=null`).words, new RegExp(`schema.*missing property '${name.split('.').at(-1)}'`, 's'), `${name} is taken away`)
  }
  for (const [setting, named] of faults) {
    const { code, words } = template(...ADDRESSES, setting)
    t.not(code, 0, setting)
    t.match(words, named, setting)
    t.match(words, /schema/, setting)
  }
})

t.test('The examples of routes from outside lead to /ws of the chart\'s Service and end no socket', async (t) => {
  const higress = helm(['template', 'chat', chart, '--kube-version', '1.34.0', '-f', join(root, 'deploy/kubernetes/higress-values.yaml'), ...ADDRESSES.flatMap((setting) => ['--set', setting])])
  t.equal(higress.code, 0, higress.words)
  t.match(find<Rendered>(higress.output, 'Ingress', 'chat-im-gateway').spec, { ingressClassName: 'higress', rules: [{ host: 'chat.example.com' }] })

  const envoy = readFileSync(join(root, 'deploy/kubernetes/envoy-gateway.yaml'), 'utf8')
  const service = find<Service>(higress.output, 'Service', 'chat-im-gateway')
  t.match(find<Rendered>(envoy, 'HTTPRoute', 'chat').spec, {
    rules: [{ matches: [{ path: { type: 'Exact', value: '/ws' } }], backendRefs: [{ name: service.metadata.name, port: service.spec.ports[0]?.port }], timeouts: { request: '0s' } }]
  })
  const { spec } = find<Rendered & { readonly spec: { readonly circuitBreaker: Readonly<Record<string, number>> } }>(envoy, 'BackendTrafficPolicy', 'chat')
  for (const limit of ['maxConnections', 'maxParallelRequests']) t.ok((spec.circuitBreaker[limit] ?? 1_024) >= 1_000_000, `${limit}: the default of 1,024 is the most sockets of a proxy`)
})
