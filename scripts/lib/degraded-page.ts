/**
 * What a node does while a system that it needs is away: the table that docs/degraded.md is written from, and that
 * test/flows/degraded.test.ts runs. Each sentence and each metric is a check of its own there.
 */
import { ERRORS, type ErrorCode } from '../../src/errors.ts'
import type { Dependency } from '../../src/ports.ts'

/** Who is refused: an upgrade, a client's frame, or a caller of the gRPC port. */
export type RefusedBy = 'http' | 'frame' | 'grpc'

export interface Refusal { readonly what: string, readonly by: RefusedBy, readonly code: ErrorCode }

export interface DegradedRow {
  readonly name: string
  /** What goes on as before. */
  readonly works: Readonly<Record<string, string>>
  readonly refused: Readonly<Record<string, Refusal>>
  /** Metrics that move, beside the gauge; with their labels, without the prefix. */
  readonly metrics: readonly string[]
  /** What is so again once it is back, without anybody's doing. */
  readonly back: Readonly<Record<string, string>>
}

export const DEGRADED = {
  etcd: {
    name: 'etcd',
    works: {
      messages: 'Live sockets stay, and their messages are acknowledged',
      groups: 'Group messages are delivered',
      pushes: 'Pushes reach the devices on the node that is called and those of routes it remembers; the answer says `routes_incomplete`'
    },
    refused: {
      upgrades: { what: 'new connections', by: 'http', code: 'SERVICE_UNAVAILABLE' },
      unknown: { what: 'a push to a user of whom nothing is known, never "offline"', by: 'grpc', code: 'SERVICE_UNAVAILABLE' }
    },
    metrics: ['registry_watch_live', 'watch_breaks_total{reason="ended"}', 'handshake_failures_total{reason="SERVICE_UNAVAILABLE"}', 'pushes_refused_total{status="UNAVAILABLE"}'],
    back: {
      upgrades: 'New connections are let in',
      sessions: 'The registry is the truth again, those who left meanwhile are gone from it'
    }
  },
  redis: {
    name: 'Redis',
    works: {
      upgrades: 'New connections are let in; each node counts handshakes by itself',
      messages: 'Messages are acknowledged',
      groups: 'Group messages are delivered, their members read from the User Service'
    },
    refused: {
      handshakes: { what: 'handshakes past the limit, counted by the node alone', by: 'http', code: 'RATE_LIMIT_EXCEEDED' }
    },
    metrics: ['handshake_failures_total{reason="RATE_LIMIT_EXCEEDED"}'],
    back: { counts: 'Handshakes are counted in Redis' }
  },
  kafka: {
    name: 'Kafka',
    works: {
      upgrades: 'New connections are let in; a node that starts is ready after `KAFKA_READY_TIMEOUT`',
      messages: 'Private messages are acknowledged',
      pushes: 'Pushes are delivered'
    },
    refused: {},
    metrics: ['kafka_restarts_total'],
    back: { records: 'Group messages, membership changes and receipts that waited in Kafka are delivered from where the node was' }
  },
  auth: {
    name: 'Auth Service',
    works: {
      messages: 'Live sockets stay until their token ends, and their messages are acknowledged',
      known: 'Tokens that were checked less than `AUTH_CACHE_TTL` ago are let in; with `AUTH_MODE=local` all are'
    },
    refused: {
      upgrades: { what: 'new connections with another token, never 401', by: 'http', code: 'SERVICE_UNAVAILABLE' },
      renewals: { what: 'an `auth` frame; the socket stays', by: 'frame', code: 'SERVICE_UNAVAILABLE' }
    },
    metrics: ['handshake_failures_total{reason="SERVICE_UNAVAILABLE"}', 'upstream_retries_total{service="auth"}', 'breaker_state{service="auth"}'],
    back: { upgrades: 'New connections are let in' }
  },
  im: {
    name: 'IM Service',
    works: {
      upgrades: 'New connections are let in',
      groups: 'Group messages are delivered',
      pushes: 'Pushes are delivered'
    },
    refused: {
      unanswered: { what: '`send_msg` that the service took and does not answer: the outcome is unknown', by: 'frame', code: 'DEADLINE_EXCEEDED' },
      messages: { what: '`send_msg`; nothing is acknowledged', by: 'frame', code: 'SERVICE_UNAVAILABLE' }
    },
    metrics: ['messages_routed_total{kind="private",result="SERVICE_UNAVAILABLE"}', 'upstream_retries_total{service="im"}', 'breaker_state{service="im"}'],
    back: { messages: 'The same message with the same `msg_id` is acknowledged' }
  },
  user: {
    name: 'User Service',
    works: {
      upgrades: 'New connections are let in',
      messages: 'Messages are acknowledged',
      groups: 'Group messages are delivered where the members are known; other records wait, 1,000 or 8 MiB on a node'
    },
    refused: {},
    metrics: ['waiting_group_records', 'upstream_retries_total{service="user"}'],
    back: { records: 'Records that waited are delivered' }
  }
} as const satisfies Record<Dependency, DegradedRow>

const HEAD = `# When a dependency is away

Written by \`npm run docs\` from \`scripts/lib/degraded-page.ts\`; \`test/flows/degraded.test.ts\` takes each dependency away from a whole node and
asks for each of these sentences, codes and metrics. Limits and settings that they name have tests of their own.

For each of them \`im_gateway_degraded{dependency="…"}\` is 1 while it is away and 0 once it is back. Away is what cannot be connected to, and what takes
calls and does not answer them: a service whose connection stands counts as back with the next call that it answers. \`/healthz\` and \`/readyz\` go on answering 200
(all nodes would leave the load balancer at once [GW-OBS-4]); the line \`"…": {"state":"down","since":"…","detail":"…"}\` of \`/readyz\` says
since when, and why. Metrics below have the prefix \`im_gateway_\`. A 503 carries \`Retry-After\`, 1 to 5 s, drawn for each client; a 429 the time until the
window ends. An error frame names the \`msg_id\` where there is one; what it calls \`retryable\` may be sent again unchanged.

| away | works | refused | metrics that move | once it is back |
|---|---|---|---|---|
`

/** The page as Markdown. */
export function degradedPage (): string {
  const rows = Object.entries(DEGRADED).map(([dependency, row]) => {
    const { name, works, refused, metrics, back }: DegradedRow = row
    const refusals = Object.values(refused).map(({ what, by, code }) => `${what}: ${answer(by, code)}`)
    return `| ${name} (\`${dependency}\`) | ${cell(Object.values(works))} | ${refusals.length === 0 ? 'nothing' : cell(refusals)} | ${cell(metrics.map((metric) => `\`${metric}\``))} | ${cell(Object.values(back))} |\n`
  })
  return HEAD + rows.join('')
}

function cell (sentences: readonly string[]): string {
  return sentences.join('<br>')
}

function answer (by: RefusedBy, code: ErrorCode): string {
  const { httpStatus, retryable } = ERRORS[code]
  switch (by) {
    case 'http': return `\`${httpStatus} ${code}\``
    case 'frame': return `error frame \`${code}\`${retryable ? ', retryable' : ''}`
    case 'grpc': return 'gRPC `UNAVAILABLE`'
  }
}
