/** Those who only want to chat, in a process of their own: the neighbour sends and counts answers, the others get what the fuzz sends them. */
import { DemoClient } from '../../demo/client.ts'
import { tokenFor } from '../helpers/app.ts'
import { FODDER, MUTE, NEIGHBOUR, PROBE } from './people.ts'
import { serve } from './served-calls.ts'

/** Since they were last asked for. */
export interface Peace { readonly answered: number, readonly failed: number, readonly p99Ms: number, readonly isOpen: boolean, readonly probes: number }

const SEND_EVERY_MS = 20
const RETURN_MS = 100

let latenciesMs: number[] = []
let failed = 0
let probes = 0

async function send (client: DemoClient): Promise<void> {
  const startedMs = performance.now()
  await client.send('bob', 'hi').then(() => { latenciesMs.push(performance.now() - startedMs) }, () => { failed++ })
}

/** Comes back whenever it was disconnected. */
async function keep (url: string, userId: string, autoAck: boolean): Promise<void> {
  const client = await DemoClient.connect({ url, token: tokenFor(userId), autoAck }).catch(() => undefined)
  const timer = setInterval(() => {
    if (client?.isOpen === true) {
      client.frames.length = 1
      return
    }
    clearInterval(timer)
    void keep(url, userId, autoAck)
  }, RETURN_MS)
}

let neighbour: DemoClient | undefined

async function start (url: string): Promise<void> {
  const client = neighbour = await DemoClient.connect({ url, token: tokenFor(NEIGHBOUR) })
  await Promise.all([keep(url, FODDER, true), keep(url, MUTE, false)])
  setInterval(() => {
    probes += client.frames.filter((frame) => frame.type === 'message' && String(frame['msg_id']).startsWith(PROBE)).length
    client.frames.length = 1
    void send(client)
  }, SEND_EVERY_MS)
}

function peace (): Peace {
  const sorted = latenciesMs.sort((a, b) => a - b)
  const value: Peace = { answered: sorted.length, failed, p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? Infinity, isOpen: neighbour?.isOpen === true, probes }
  latenciesMs = []
  failed = 0
  probes = 0
  return value
}

serve({ start, peace })
