/** Runs Python under test: `websockets` is a stub there, and on a `FastLoop` time is skipped. */
import { spawnSync } from 'node:child_process'
import type { Test } from 'tap'

const PRELUDE = `
import asyncio, json, sys, types
for name, fields in (("websockets", ()), ("websockets.asyncio", ()), ("websockets.asyncio.client", ("connect",)), ("websockets.exceptions", ("ConnectionClosed", "InvalidStatus", "InvalidHandshake"))):
    sys.modules[name] = types.ModuleType(name)
    for field in fields:
        setattr(sys.modules[name], field, type(field, (Exception,), {"rcvd": None}))
space = {"__name__": "client"}
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), space)

class FastLoop(asyncio.SelectorEventLoop):
    """Where nothing is ready the time of the next timer has come."""
    now = 0
    def __init__(self):
        super().__init__()
        select = self._selector.select
        def skip(timeout):
            if timeout is None:
                raise RuntimeError("it waits for ever")
            self.now += timeout
            return select(0)
        self._selector.select = skip
    def time(self):
        return self.now
`

/** What the harness prints, as JSON; the program at the path is in its \`space\`. Undefined, and said so, where there is no Python outside of CI. */
export function runPython (t: Test, path: string, harness: string, ...args: string[]): unknown {
  const { error, status, stdout, stderr } = spawnSync('python3', ['-c', PRELUDE + harness, path, ...args], { encoding: 'utf8', timeout: 30_000 })
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT' && process.env['CI'] === undefined) {
    process.stderr.write(`NOT CHECKED, there is no python3 here: ${path}\n`)
    return undefined
  }
  t.equal(status, 0, stderr)
  return JSON.parse(stdout)
}
