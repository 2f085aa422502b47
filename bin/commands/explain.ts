/** `im-gateway explain`: the way of a message over all nodes, and where it ended. */
import Type from 'typebox'
import type { Environment } from '../../src/config/parse.ts'
import { mergeExplanations, type Explanation, type NodeMemory } from '../../src/explain/explanation.ts'
import { ID_PATTERN } from '../../src/protocol/frames.ts'
import { ADMIN_OPTION, ADMIN_USAGE, adminPorts, askAll, type AdminPort, type Unanswered } from '../admin-port.ts'
import { json, printable, runCommand, silentText, table, time } from '../command-line.ts'
import type { Io } from '../dispatch.ts'
import { EXIT_NO, EXIT_OK, EXIT_UNAVAILABLE } from '../exit-codes.ts'

const USAGE = `Usage: im-gateway explain [OPTION...] MSG_ID | USER

Tells the way of a message, or of a user's messages, over all nodes: received, queued, written, acknowledged, or where and
why it ended; of a user also which devices came and went, and why. Each node remembers the latest (EXPLAIN_ENTRIES,
EXPLAIN_BYTES); the node that is asked asks the others.
An id that no message has is looked for as a user or a group.

  --message     it is the id of a message alone
  --user        it is the id of a user or a group
${ADMIN_USAGE}`

const ID = new RegExp(ID_PATTERN, 'u')

const Explained = Type.Object({
  events: Type.Array(Type.Object({ at: Type.Number(), node_id: Type.String(), step: Type.String(), msg_id: Type.String(), user_id: Type.String(), device_id: Type.String(), detail: Type.String() })),
  nodes: Type.Array(Type.Object({ node_id: Type.String(), oldest_at: Type.Union([Type.Number(), Type.Null()]), left_off: Type.Number(), error: Type.Optional(Type.String()) }))
})

interface Answer extends Explanation { readonly unanswered: readonly Unanswered[] }

/** Resolves to the exit code: 1 where nothing is remembered, 69 where nothing is and a node did not answer. */
export async function explainCommand (args: readonly string[], io: Io, env: Environment = process.env): Promise<number> {
  return await runCommand({
    usage: USAGE,
    options: { ...ADMIN_OPTION, message: { type: 'boolean', default: false }, user: { type: 'boolean', default: false } },
    words: [1, 1],
    run: async (values, [id = '']) => {
      if (values.message && values.user) throw new RangeError('--message and --user exclude each other')
      const ports = adminPorts(values.admin, env)
      let answer: Answer | undefined
      if (!values.user && (values.message || ID.test(id))) answer = await ask(ports, { msg_id: id })
      const asUser = !values.message && (answer === undefined || answer.events.length === 0)
      if (asUser) answer = await ask(ports, { user: id })
      const { events, nodes, unanswered } = answer as Answer
      io.out(values.json === true ? json({ id, ...answer }) : `${textOf(id, events, nodes)}${silentText(unanswered)}`)
      // What somebody else remembers is an answer all the same; that nobody does is none while one is silent.
      return events.length > 0 ? EXIT_OK : unanswered.length > 0 || nodes.some(({ error }) => error !== undefined) ? EXIT_UNAVAILABLE : EXIT_NO
    }
  }, args, io)
}

/** Of several nodes that were named each is asked for itself and the others; what is told twice is told once. */
async function ask (ports: readonly AdminPort[], query: Readonly<Record<string, string>>): Promise<Answer> {
  const { answers, unanswered } = await askAll(ports, async (port) => (await port.ask('GET', '/explain', { answer: Explained, query })).body)
  const known = new Map<string, Explanation>()
  for (const { events, nodes } of answers) {
    for (const node of nodes) {
      const before = known.get(node.node_id)
      if (before === undefined || before.nodes[0]?.error !== undefined) known.set(node.node_id, { nodes: [node], events: events.filter(({ node_id: nodeId }) => nodeId === node.node_id) })
    }
  }
  return { ...mergeExplanations([...known.values()]), unanswered }
}

function textOf (id: string, events: Explanation['events'], nodes: readonly NodeMemory[]): string {
  const head = events.length === 0
    ? `Nothing is remembered of ${printable(id)}.\n`
    : table([['TIME', 'NODE', 'STEP', 'MESSAGE', 'USER', 'DEVICE', 'DETAIL'], ...events.map((event) => [time(event.at), event.node_id, event.step, event.msg_id, event.user_id, event.device_id, event.detail])])
  return `${head}${nodes.map((node) => `${printable(memoryText(node))}\n`).join('')}`
}

function memoryText ({ node_id: node, oldest_at: oldest, left_off: leftOff, error }: NodeMemory): string {
  if (error !== undefined) return `${node} does not answer (${error}): what it remembers is missing here.`
  const more = leftOff > 0 ? `, and ${leftOff} older entries that are left out here` : ''
  return oldest === null ? `${node} remembers nothing.` : `${node} remembers back to ${time(oldest)}${more}.`
}
