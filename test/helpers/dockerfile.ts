/**
 * Replays a Dockerfile without a container engine: each stage is an empty folder, COPY and RUN happen in it. It knows the
 * instructions that ours uses and throws at any other.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, posix } from 'node:path'

export interface Image {
  /** The stage's folder, which stands for `/`. */
  readonly folder: string
  readonly workdir: string
  readonly env: Readonly<Record<string, string>>
  readonly user: string | undefined
  readonly command: readonly string[]
  readonly healthCheck: readonly string[]
  readonly ports: readonly number[]
}

interface Stage { name: string, folder: string, workdir: string, env: Record<string, string>, user?: string, command: string[], healthCheck: string[], ports: number[] }

const RUN_TIMEOUT_MS = 240_000

/** Replays into `target`, an empty folder; `context` is the build's context. Returns the last stage. */
export function replay (context: string, target: string): Image {
  const ignored = ignoreList(readFileSync(join(context, '.dockerignore'), 'utf8'))
  const stages: Stage[] = []
  for (const [instruction, rest] of instructions(readFileSync(join(context, 'Dockerfile'), 'utf8'))) {
    const stage = stages.at(-1)
    if (instruction === 'FROM') {
      const [, image = '', name] = /^(\S+)(?: AS (\S+))?$/.exec(rest) ?? []
      if (!/:\d+\.\d+\.\d+/.test(image)) throw new Error(`${image} is not pinned`)
      const folder = join(target, `stage${stages.length}`)
      mkdirSync(folder, { recursive: true })
      stages.push({ name: name ?? '', folder, workdir: '/', env: {}, command: [], healthCheck: [], ports: [] })
    } else if (stage === undefined) {
      throw new Error(`${instruction} before FROM`)
    } else {
      step(stage, instruction, rest, { context, ignored, stages })
    }
  }
  const last = stages.at(-1)
  if (last === undefined) throw new Error('no FROM')
  return { ...last, user: last.user }
}

function step (stage: Stage, instruction: string, rest: string, { context, ignored, stages }: { context: string, ignored: (path: string) => boolean, stages: Stage[] }): void {
  switch (instruction) {
    case 'WORKDIR':
      stage.workdir = rest
      mkdirSync(join(stage.folder, rest), { recursive: true })
      break
    case 'ENV': {
      const at = rest.indexOf('=')
      stage.env[rest.slice(0, at)] = rest.slice(at + 1)
      break
    }
    case 'COPY': {
      const [, from, list = ''] = /^(?:--from=(\S+) )?(.+)$/.exec(rest) ?? []
      const paths = list.split(/\s+/)
      const destination = posix.join(stage.workdir, paths.pop() ?? '') + (list.endsWith('/') ? '/' : '')
      for (const path of paths) {
        const source = from === undefined ? join(context, path) : join(stages.find((other) => other.name === from)?.folder ?? '/nowhere', path)
        if (from === undefined && ignored(path)) throw new Error(`.dockerignore keeps ${path} from the build`)
        if (!existsSync(source)) throw new Error(`COPY: ${path} does not exist`)
        const into = destination.endsWith('/') ? join(stage.folder, destination, basename(path)) : join(stage.folder, destination)
        mkdirSync(dirname(into), { recursive: true })
        const filter = (file: string): boolean => from !== undefined || file === source || !ignored(file.slice(context.length + 1))
        // A stage's links point into the stage: they are copied as they are.
        cpSync(source, into, { recursive: true, filter, verbatimSymlinks: true })
      }
      break
    }
    case 'RUN': {
      const { status, stdout, stderr } = spawnSync('sh', ['-c', rest], {
        cwd: join(stage.folder, stage.workdir), env: { ...cleanEnv(), ...stage.env }, encoding: 'utf8', timeout: RUN_TIMEOUT_MS, killSignal: 'SIGKILL'
      })
      if (status !== 0) throw new Error(`RUN ${rest} ended with ${status ?? 'a time-out'}\n${stdout}${stderr}`)
      break
    }
    case 'USER': stage.user = rest; break
    case 'EXPOSE': stage.ports.push(...rest.split(/\s+/).map(Number)); break
    case 'CMD': stage.command = JSON.parse(rest) as string[]; break
    case 'HEALTHCHECK': stage.healthCheck = JSON.parse(rest.slice(rest.indexOf('CMD ') + 4)) as string[]; break
    default: throw new Error(`${instruction} is not known here`)
  }
}

/** What a build has: a path, a home and what leads npm to its registry, and nothing of the project's. */
function cleanEnv (): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => /^(PATH|HOME|TMPDIR|LANG|npm_config_(registry|cache|cafile)|NPM_CONFIG_\w+|https?_proxy|no_proxy|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE)$/i.test(name))
  const env = Object.fromEntries(kept) as Record<string, string>
  // The binaries of the project that runs this test must not help.
  env['PATH'] = (env['PATH'] ?? '').split(':').filter((folder) => !folder.includes('node_modules')).join(':')
  return env
}

function instructions (text: string): [string, string][] {
  return text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#')).map((line) => {
    const at = line.indexOf(' ')
    return [line.slice(0, at), line.slice(at + 1).trim()]
  })
}

/** Ours is a list of what is let through below `*`, and of exceptions within that. */
function ignoreList (text: string): (path: string) => boolean {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  if (lines[0] !== '*') throw new Error('.dockerignore has to begin by refusing all')
  return (path) => {
    let ignored = true
    for (const line of lines.slice(1)) {
      const pattern = line.replace(/^!/, '')
      if (path === pattern || path.startsWith(`${pattern}/`)) ignored = !line.startsWith('!')
    }
    return ignored
  }
}

/** `uid:gid` as numbers. */
export function idsOf (user: string): { uid: number, gid: number } {
  const [uid = NaN, gid = NaN] = user.split(':').map(Number)
  return { uid, gid }
}

/** Whether others than its owner may write to it. */
export function isWritableByOthers (path: string): boolean {
  return (statSync(path).mode & 0o002) !== 0
}
