/** A real Kubernetes API server without nodes, through scripts/kube.sh; it ends with the test. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import type { Test } from 'tap'
import { startProgram, tools } from './program.ts'

export interface KubernetesObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string, readonly resourceVersion: string, readonly generation: number, readonly labels: Readonly<Record<string, string>> }
  readonly spec: Readonly<Record<string, unknown>>
}
export interface Answer { readonly code: number | null, readonly output: string, readonly words: string }

const SCRIPT = join(import.meta.dirname, '../../scripts/kube.sh')
const FIRST_PORT = 17_000
const COMMAND_TIMEOUT_MS = 60_000

export async function startCluster (t: Test): Promise<Cluster> {
  const bin = tools('helm', 'kubernetes')
  // Below the ports that systems give away by themselves: etcd needs the two above.
  const port = FIRST_PORT + (process.pid % 1_000) * 3
  const ready = /^KUBECONFIG=(.+)$/m
  const { words } = await startProgram(t, 'bash', [SCRIPT], ({ words }) => ready.test(words), { KUBE_PORT: String(port) })
  // Both keep what they learn of the server in the home folder.
  return new Cluster(bin, { KUBECONFIG: ready.exec(words)?.[1] ?? '', HOME: t.testdir({}) })
}

export class Cluster {
  readonly #bin: string
  readonly #env: NodeJS.ProcessEnv

  constructor (bin: string, env: Readonly<Record<string, string>>) {
    this.#bin = bin
    this.#env = { ...process.env, ...env }
  }

  /** Whatever comes of it. */
  run (program: 'helm' | 'kubectl', args: readonly string[], input = ''): Answer {
    const { status, stdout, stderr } = spawnSync(join(this.#bin, program), args, { env: this.#env, input, encoding: 'utf8', timeout: COMMAND_TIMEOUT_MS })
    return { code: status, output: stdout, words: stderr }
  }

  /** What it prints; throws with its words where it fails. */
  ask (program: 'helm' | 'kubectl', args: readonly string[], input = ''): string {
    const { code, output, words } = this.run(program, args, input)
    if (code !== 0) throw new Error(`${program} ${args.join(' ')}: ${words}`)
    return output
  }

  /** Names of all that there is in a namespace, `kind.group/name`. */
  everything (namespace: string): string[] {
    const kinds = this.ask('kubectl', ['api-resources', '--namespaced', '--verbs=list', '--output=name']).trim().split('\n')
    return this.ask('kubectl', ['get', kinds.join(','), '--namespace', namespace, '--output=name']).trim().split('\n').filter((name) => name !== '').sort()
  }

  /** As the server keeps the objects of a manifest, in its order. */
  stored (namespace: string, manifest: string): KubernetesObject[] {
    const answer = JSON.parse(this.ask('kubectl', ['get', '--namespace', namespace, '--filename=-', '--output=json'], manifest)) as KubernetesObject & { readonly items?: KubernetesObject[] }
    return answer.items ?? [answer]
  }
}
