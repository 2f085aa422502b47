/** Plays the situations, several at a time, each with a client process of its own. */
import { ClientProcess } from './client-process.ts'
import { REQUIREMENTS, type Requirement } from './requirements.ts'
import type { Situation, Stage } from './situation.ts'
import { CONNECTING } from './situations/connecting.ts'
import { ENDING } from './situations/ending.ts'
import { RECEIVING } from './situations/receiving.ts'
import { SENDING } from './situations/sending.ts'
import { TestGateway } from './test-gateway.ts'

export const SITUATIONS: readonly Situation[] = [...CONNECTING, ...SENDING, ...RECEIVING, ...ENDING]

/** Of one requirement over all situations that judge it; `detail`: of the first in which it was not kept. */
export interface Verdict extends Requirement { readonly id: string, readonly kept: boolean, readonly detail?: string }

export interface RunOptions {
  readonly command: readonly [string, ...string[]]
  /** Beginnings of ids; none: all. */
  readonly only: readonly string[]
  /** Situations at a time. */
  readonly jobs: number
}

const FRAMES = 'C-FRM-1'

/** Resolves to the verdicts in the order of the table. */
export async function checkClient ({ command, only, jobs }: RunOptions): Promise<Verdict[]> {
  const isAsked = (id: string): boolean => only.length === 0 || only.some((start) => id.startsWith(start))
  const failures = new Map<string, string>()
  // Of every situation, where it alone is asked for: frames are judged in all of them.
  const asked = SITUATIONS.filter(({ ids }) => ids.some(isAsked) || isAsked(FRAMES))
  // The longest begin first, so that none is left for the end.
  const waiting = [...asked].reverse()
  const worker = async (): Promise<void> => {
    for (let situation = waiting.shift(); situation !== undefined; situation = waiting.shift()) await play(situation, command, failures)
  }
  await Promise.all(Array.from({ length: jobs }, worker))
  return Object.entries(REQUIREMENTS).filter(([id]) => isAsked(id)).map(([id, requirement]) => {
    const detail = failures.get(id)
    return { id, ...requirement, kept: detail === undefined, ...(detail !== undefined && { detail }) }
  })
}

async function play (situation: Situation, command: RunOptions['command'], failures: Map<string, string>): Promise<void> {
  const { name, ids, clients = 1, settings, prepare } = situation
  const judged = new Set<string>()
  const judge = (id: string, isKept: boolean, detail: string): void => {
    judged.add(id)
    if (!isKept && !failures.has(id)) failures.set(id, `${name}: ${detail}`)
  }
  const open = async (): Promise<Stage> => {
    const gateway = new TestGateway(settings)
    await gateway.listen()
    prepare?.(gateway)
    return { gateway, client: new ClientProcess(command, gateway.env), judge }
  }
  const [stage, ...others] = [await open(), ...await Promise.all(Array.from({ length: clients - 1 }, open))]
  const stages = [stage, ...others]
  // It has nothing to do any more when its input ends, and that is not before the end of the situation.
  const died = stages.map(async ({ client }) => { throw new Error(await client.ended) })
  try {
    await Promise.race([situation.play(stage, ...others), ...died])
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error)
    const words = stages.map(({ client }) => client.lastWords).filter((each) => each !== '').join('\n')
    for (const id of ids) if (!judged.has(id)) judge(id, false, `${what}${words === '' ? '' : `; it said: ${words}`}`)
  } finally {
    for (const { client, gateway } of stages) {
      await client.end()
      await gateway.close()
    }
  }
  const faults = stages.flatMap(({ gateway }) => gateway.faults)
  judge(FRAMES, faults.length === 0, faults[0] ?? '')
}
