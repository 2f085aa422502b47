/** The other side of a HelperProcess: its calls, from when they can be served until its parent is gone. */
export type Calls = Readonly<Record<string, (argument: never) => unknown>>

interface Call { readonly id: number, readonly name: string, readonly argument: never }

/** `ready`: what the parent is told first. */
export function serve (calls: Calls, ready?: unknown): void {
  process.on('message', ({ id, name, argument }: Call) => {
    const work = async (): Promise<unknown> => await calls[name]?.(argument)
    work().then((value) => { process.send?.({ id, value }) }, (error: unknown) => { process.send?.({ id, error: error instanceof Error ? error.stack : String(error) }) })
  })
  process.on('disconnect', () => { process.exit() })
  process.send?.({ id: 0, value: ready })
}
