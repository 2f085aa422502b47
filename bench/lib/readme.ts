/** bench/README.md, made of all that lies in bench/results/. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { growthSection, readGrowth } from './growth-report.ts'
import { ROOT } from './machine.ts'
import { GATEWAY } from './peers.ts'
import { REMARKS } from './remarks.ts'
import { comparison, RESULTS, runText, spreadText, type Report } from './report.ts'

/** Writes it anew. */
export function writeReadme (): void {
  const reports = readdirSync(RESULTS).filter((name) => /^S\d+\.json$/.test(name)).map((name) => JSON.parse(readFileSync(join(RESULTS, name), 'utf8')) as Report)
  reports.sort((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)))
  const growth = readGrowth()
  writeFileSync(join(ROOT, 'bench/README.md'), `${[INTRODUCTION, table(reports), ...reports.map(section), ...(growth === undefined ? [] : [growthSection(growth)])].join('\n\n')}\n`)
}

const INTRODUCTION = `# Benchmarks

<!-- Written by bench/lib/readme.ts from bench/results; do not edit. -->

\`npm run bench -- S3\` runs one scenario, \`-- S3 S6\` several, \`npm run bench -- all\` all of them and growth, \`-- compare\` those with other servers beside this one, \`-- growth [S1 …]\` what sizes do to the costs;
\`--repeats N\` fewer or more rounds, \`--seed N\` another order of the servers, \`--help\` all of it. Each run writes its figures to [\`results/\`](results) and this page anew, so that a diff shows what has changed. \`all\` takes some hours. In each round every server is started anew, measured and
ended, one after the other; a figure is the median of the rounds, with least and most beside it. What is counted is CPU time and memory of the server's process, not the
clock on the wall; server and clients have a core each. The clients are a program in C (\`bench/load/load.c\`, compiled at the first run), which costs less than any of the servers and checks what it gets: a run
that lost, doubled or reordered a message fails with exit code 2. Where a target is missed it says so, and the exit code is 1. The rows in Go need Go 1.26. S1, S9, S12 and
\`growth\` start a real etcd, S12 Kafka and Redis as well (\`scripts/services.sh\`). S12 takes 4 GB of memory, and six processes for its 100,000 connections and their clients each, because one may open 20,000 files (\`ulimit -n\`).
None of this is a test, but \`npm run bench -- guard\` is: it compares bytes allocated, writes and CPU of the hot paths with \`bench/guard.json\`, and CI runs it.

The rows: this gateway; bare \`ws\` and \`@fastify/websocket\` as their users write it, with the same token check and the same unary call to the IM Service; Socket.IO 4; Centrifugo 6; a server on \`coder/websocket\` in Go; \`socket.write\`, a bare loop that
writes one shared frame; and C, the floor: a server that does the system calls and nothing else. A ratio above 1 means: it takes more than this gateway.

\`cpu\` is microseconds of CPU for one operation; \`stall\` is p99.9 of the event loop's delay; \`to ours\` and \`to C\` are ratios of the first column. All rows on Node have the flags of V8 that stand below the table. Memory is read after
two forced collections, and again until it falls no more; Centrifugo is not made to collect, it has a second. The gateway's registry is in etcd in S1, S9 and S12, elsewhere in its own memory, and tokens are checked by itself. It has its defaults but for limits that clients from a few addresses on one machine would meet:
the rates of handshakes and messages, and in S12 the deadlines of a handshake and the loop delay at which upgrades are refused. It holds at most 19,000 connections, logs warnings only and has no shared cache (Redis): the registry, the bus and the services are what a row names.

What the others take for each one that this gateway takes:`

function table (reports: readonly Report[]): string {
  const { head, lines } = comparison(reports)
  return [`| ${head.join(' | ')} |`, `|${head.map(() => '---|').join('')}`, ...lines.map((line) => `| ${line.join(' | ')} |`)].join('\n')
}

function section (report: Report): string {
  const { id, title, units, rows, ratios, toFloor, verdicts, without } = report
  const figures = Object.keys(units)
  const columns = ['', ...figures.map((figure) => `${figure}, ${units[figure]}`), ...(isEmpty(ratios) ? [] : ['to ours']), ...(isEmpty(toFloor) ? [] : ['to C'])]
  const lines = Object.entries(rows).map(([name, row]) => [
    name === GATEWAY ? `**${name}**` : name,
    ...figures.map((figure) => row[figure] === undefined ? '' : spreadText(row[figure])),
    ...(isEmpty(ratios) ? [] : [String(ratios[name] ?? '')]),
    ...(isEmpty(toFloor) ? [] : [String(toFloor[name] ?? '')])
  ])
  return [
    `## ${id}: ${title}`, '',
    `| ${columns.join(' | ')} |`,
    `|${columns.map(() => '---|').join('')}`,
    ...lines.map((line) => `| ${line.join(' | ')} |`),
    '',
    ...verdicts.map(({ target, met, seen }) => `- ${met ? 'Met' : '**Missed**'}: ${target}: ${seen}.`),
    ...Object.entries(without).map(([name, why]) => `- ${name}: not measured, ${why}.`),
    '',
    ...(REMARKS[id] === undefined ? [] : [REMARKS[id], '']),
    runText(report)
  ].join('\n')
}

function isEmpty (ratios: Readonly<Record<string, number>>): boolean {
  return Object.keys(ratios).length === 0
}
