/** A look into a Node process that was started with `--inspect`: over the inspector's protocol, on a connection that ends with the look, for a process does not end while one is open. */
import { once } from 'node:events'
import WebSocket from 'ws'

type Json = Readonly<Record<string, unknown>>
interface Answer { readonly id?: number, readonly result?: Json, readonly error?: { readonly message: string } }

/** A method of the inspector's protocol; resolves to its result. */
export type Command = (method: string, params?: object) => Promise<Json>

/** Rejects where the process cannot be reached, ends meanwhile, or refuses a command. */
export async function inspect<T> (url: string, look: (command: Command) => Promise<T>): Promise<T> {
  const socket = new WebSocket(url, { perMessageDeflate: false })
  const waiting = new Map<number, (answer: Answer) => void>()
  let lastId = 0
  socket.on('message', (data) => {
    const answer = JSON.parse(String(data)) as Answer
    if (answer.id !== undefined) waiting.get(answer.id)?.(answer)
  })
  socket.on('close', () => { for (const settle of waiting.values()) settle({ error: { message: 'the process is gone' } }) })
  await once(socket, 'open')
  try {
    return await look(async (method, params = {}) => {
      const id = ++lastId
      const answered = new Promise<Answer>((resolve) => { waiting.set(id, resolve) })
      socket.send(JSON.stringify({ id, method, params }))
      const { result = {}, error } = await answered
      waiting.delete(id)
      if (error !== undefined) throw new Error(`${method}: ${error.message}`)
      return result
    })
  } finally {
    socket.terminate()
  }
}

/** The value of an expression there; it has to be JSON. */
export async function valueOf<T> (command: Command, expression: string): Promise<T> {
  const { result, exceptionDetails } = await command('Runtime.evaluate', { expression, returnByValue: true })
  if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`)
  return (result as { readonly value: T }).value
}

const TIMER_PROTOTYPE = '(() => { const timer = setTimeout(() => {}, 0); clearTimeout(timer); return Object.getPrototypeOf(timer) })()'
const RUNNING = 'function () { return this.filter((timer) => timer._destroyed === false).length }'

export interface Insides { readonly heapBytes: number, readonly timers: number }

/** What is left of the heap after a collection, and the timers that run, unreferenced ones included. */
export async function insides (command: Command): Promise<Insides> {
  const { result: prototype } = await command('Runtime.evaluate', { expression: TIMER_PROTOTYPE })
  const { objects } = await command('Runtime.queryObjects', { prototypeObjectId: (prototype as { readonly objectId: string }).objectId })
  const { objectId } = objects as { readonly objectId: string }
  const { result: timers } = await command('Runtime.callFunctionOn', { objectId, functionDeclaration: RUNNING, returnByValue: true })
  await command('Runtime.releaseObject', { objectId })
  for (let i = 0; i < 2; i++) await command('HeapProfiler.collectGarbage')
  return { heapBytes: await valueOf<number>(command, 'process.memoryUsage().heapUsed'), timers: (timers as { readonly value: number }).value }
}
