/** Lines of waiting tasks, one a key: tasks of one key run one after another, those of different keys side by side. */

/** The line is full; nothing was done. */
export class LineFullError extends Error {
  constructor () {
    super('too many requests wait for this conversation')
    this.name = 'LineFullError'
  }
}

interface Line { waiting: number, tail: Promise<unknown> }

const MAX_WAITING = 1_000

export class Lines {
  readonly #lines = new Map<string, Line>()

  /** Settles as the task does; rejects with a LineFullError where 1,000 tasks wait before it. */
  run<T> (key: string, task: () => Promise<T>): Promise<T> {
    const line = this.#lines.get(key) ?? { waiting: 0, tail: Promise.resolve() }
    if (line.waiting >= MAX_WAITING) return Promise.reject(new LineFullError())
    this.#lines.set(key, line)
    line.waiting++
    const result = line.tail.then(task)
    line.tail = result.then(ignore, ignore).then(() => {
      if (--line.waiting === 0) this.#lines.delete(key)
    })
    return result
  }

  /** Resolves once every task that waits now has run. */
  async idle (): Promise<void> {
    await Promise.all([...this.#lines.values()].map((line) => line.tail))
  }
}

function ignore (): void {}
