/** The table as text: for `--help`, `--print-config` and the reference page. */
import { BASE_BYTES, CONNECTION_BYTES, COSTS, PRIMARY_BYTES, RESERVED_FILES, USABLE_MEMORY } from '../capacity.ts'
import type { Settings } from '../config.ts'
import { CACHE_ENTRY_BYTES } from './derive.ts'
import { canBeFile } from './parse.ts'
import { SECTIONS, VARIABLES, VARIABLE_NAMES, type VariableName } from './table.ts'
import { formatDuration, formatSize } from './units.ts'
import type { Variable } from './variable.ts'

const HIDDEN = '********'

/** `duration`, `integer 0-65535`, `one of a, b`. */
function typeText (row: Variable): string {
  switch (row.kind) {
    case 'integer': return `integer ${row.min}-${row.max}`
    case 'duration': case 'size': return `${row.kind} ${row.min}-${row.max}`
    case 'choice': return `one of ${row.choices.join(', ')}`
    case 'list': return 'comma list'
    default: return row.kind
  }
}

/** The default as an operator would write it, or what stands in its place; empty where there is none. */
function defaultText (row: Variable): string {
  return 'default' in row ? String(row.default) : row.otherwise ?? ''
}

/** All variables by section, for a terminal. */
export function helpText (): string {
  const lines: string[] = []
  for (const { title, rows } of SECTIONS) {
    lines.push('', `${title}:`)
    for (const [name, row] of Object.entries(rows)) {
      const fallback = defaultText(row)
      lines.push(`  ${name}${canBeFile(row) ? '[_FILE]' : ''}  (${typeText(row)}${fallback === '' ? '' : `; default ${fallback}`})`)
      lines.push(`      ${row.about}`)
    }
  }
  return lines.join('\n')
}

/** Every variable with the value that holds, as an operator would write it; secrets are hidden, null has no value. */
export function settingsOf ({ values, derived }: Settings): Record<VariableName, string | null> {
  const effective: Partial<Record<VariableName, unknown>> = {
    ...values,
    GATEWAY_NODE_ID: derived.nodeId,
    HEARTBEAT_INTERVAL: derived.heartbeatIntervalMs,
    HEARTBEAT_TIMEOUT: derived.heartbeatTimeoutMs,
    GRPC_HOST: derived.grpcHost,
    GRPC_ADVERTISE_ADDR: derived.grpcAdvertiseAddr,
    MEMORY_LIMIT: derived.shape.memoryLimitBytes,
    MAX_CONNECTIONS: derived.maxConnections
  }
  return Object.fromEntries(VARIABLE_NAMES.map((name) => {
    const text = valueText(VARIABLES[name], effective[name])
    return [name, text === '' ? null : text]
  })) as Record<VariableName, string | null>
}

/** One `NAME=value` a line; what has no value is commented out. */
export function printSettings (settings: Settings): string {
  return Object.entries(settingsOf(settings)).map(([name, text]) => text === null ? `# ${name}=` : `${name}=${text}`).join('\n')
}

function valueText (row: Variable, value: unknown): string {
  if (value === undefined) return ''
  if (row.secret === true) return HIDDEN
  if (row.kind === 'duration') return formatDuration(value as number)
  if (row.kind === 'size') return formatSize(value as number)
  // PEM texts have many lines; a certificate is no secret, but its text helps nobody here.
  if (row.kind === 'text' && row.form === 'pem') return '(PEM)'
  return Array.isArray(value) ? value.join(',') : withoutPassword(String(value))
}

/** An address may carry a password: `https://user:password@host`. */
function withoutPassword (text: string): string {
  return text.replace(/(:\/\/[^/@:]*):[^/@]*@/, `$1:${HIDDEN}@`)
}

/** The reference page in Markdown. */
export function referencePage (): string {
  const lines = [
    '# Configuration', '',
    '<!-- Written by scripts/generate-docs.ts from src/config; do not edit. -->', '',
    'The gateway reads its environment and nothing else. All faults are reported at once, by the name of the variable, with exit code 78.', '',
    '- Durations: `500ms`, `30s`, `1m30s`, `2h`. Sizes: `4096`, `10KB`, `64MB`, `1GB`, always by 1024. Lists: by comma. Empty counts as absent.',
    '- Where the table says *file*, `NAME_FILE` may name a file that holds the value; its last line break is cut, and setting both is refused. Keep secrets in files.',
    '- `--check-config` checks the environment and prints what holds, secrets hidden, and [what the node can carry](capacity.md); `--print-config` prints it alone; `--help` prints this table.'
  ]
  for (const { title, rows } of SECTIONS) {
    lines.push('', `## ${title}`, '', '| variable | type and range | default | meaning |', '|---|---|---|---|')
    for (const [name, row] of Object.entries(rows)) {
      const file = row.secret === true ? ' (secret, file)' : row.file === true ? ' (file)' : ''
      const fallback = defaultText(row)
      lines.push(`| \`${name}\` | ${cell(typeText(row))}${file} | ${'default' in row ? `\`${fallback}\`` : cell(fallback)} | ${cell(row.about)} |`)
    }
  }
  return `${[...lines, ...CHECKS, ...originalNames()].join('\n')}\n`
}

const CHECKS = [
  '', '## What is checked across variables', '',
  '- The heartbeat interval is below its timeout. `PING_PERIOD` and `PONG_WAIT` override `HEARTBEAT_INTERVAL` and `HEARTBEAT_TIMEOUT`; where both are set they have to agree.',
  '- `AUTH_TIMEOUT` (with `AUTH_MODE=service`), `ADMISSION_TIMEOUT`, `REDIS_TIMEOUT` for each handshake limit that is counted in Redis and, with `JWKS_URL`, `JWKS_TIMEOUT` together stay below `HANDSHAKE_TIMEOUT`.',
  '- `DRAIN_DELAY` is below `DRAIN_TIMEOUT`; `PRE_STOP_DELAY` and `DRAIN_TIMEOUT` together stay below `GRACE_PERIOD` where that is given.',
  '- `REGISTRY_RENEW_INTERVAL` is at most half of `REGISTRY_TTL`; an attempt at the IM Service is not longer than `IM_TIMEOUT`.',
  '- `GRPC_HOST` other than loopback needs `GRPC_AUTH_TOKEN` or mutual TLS; `ADMIN_HOST` other than loopback needs `ADMIN_TOKEN`.',
  '- `JWT_SECRET`, `JWT_PUBLIC_KEY` and `JWKS_URL` exclude each other; `AUTH_MODE=local` needs one of them. Certificates and keys go together and have to match.',
  `- \`WORKERS\` above 1 needs \`ADMIN_PORT\`, fixed \`WS_PORT\` and \`GRPC_PORT\`, and as many free ports from \`GRPC_PORT\` (and from that of \`GRPC_ADVERTISE_ADDR\`) on. Each worker has its share of \`MEMORY_LIMIT\` less ${formatSize(PRIMARY_BYTES)} for the primary; \`MAX_CONNECTIONS\`, \`OUTBOX_TOTAL_BYTES\`, the caches and the message rate count for each worker.`,
  `- \`MAX_CONNECTIONS\` is at most the lesser of (${USABLE_MEMORY} × \`MEMORY_LIMIT\` − ${formatSize(BASE_BYTES)} − caches − \`OUTBOX_TOTAL_BYTES\`) / ${(CONNECTION_BYTES / 1024).toFixed(1)} KB and the open-files limit − ${RESERVED_FILES}; left out, it is that. Caches are \`MEMBERSHIP_CACHE_BYTES\`, \`EXPLAIN_BYTES\` and ${CACHE_ENTRY_BYTES} bytes for each entry of \`AUTH_CACHE_SIZE\` and \`ROUTE_CACHE_SIZE\`. A connection takes ${COSTS.resident.value} KB of the process and ${COSTS.kernel.value} KB of the kernel: [capacity](capacity.md).`
]

function originalNames (): string[] {
  const lines = ['', '## Names in the original configuration', '', '| field | variable | default |', '|---|---|---|']
  for (const name of VARIABLE_NAMES) {
    const row = VARIABLES[name]
    if (row.original !== undefined) lines.push(`| \`${row.original}\` | \`${name}\` | ${cell(defaultText(row))} |`)
  }
  return lines
}

function cell (text: string): string {
  return text.replaceAll('|', '\\|')
}
