import t from 'tap'
import { dispatch, EXIT_USAGE, type Command } from '../../bin/dispatch.ts'

function world () {
  const [out, err, loaded]: [string[], string[], string[]] = [[], [], []]
  const command = (name: string, code: number): Command => ({
    about: `does ${name}`,
    load: async () => {
      loaded.push(name)
      return async (args, io) => {
        io.out(args.join(' '))
        return code
      }
    }
  })
  const commands = { one: command('one', 0), another: command('another', 3) }
  const run = (...args: string[]): Promise<number> => dispatch(commands, args, { out: (text) => { out.push(text) }, err: (text) => { err.push(text) } })
  return { run, out, err, loaded }
}

t.test('the first argument names the command, which alone is loaded and gets the rest', async (t) => {
  const { run, out, loaded } = world()
  t.equal(await run('another', '--help', '--', 'x'), 3)
  t.strictSame(out, ['--help -- x'])
  t.strictSame(loaded, ['another'])
})

t.test('--help lists the commands; none and an unknown one are refused with the list', async (t) => {
  const { run, out, err, loaded } = world()
  t.equal(await run('--help'), 0)
  t.equal(await run('-h'), 0)
  t.match(out, [/one {6}does one\n {2}another {2}does another\n/, /does one/])
  for (const name of ['two', 'toString', '']) t.equal(await run(name), EXIT_USAGE, name)
  t.equal(await run(), EXIT_USAGE)
  t.match(err, [/^no command two\n\nUsage: im-gateway/, /^no command toString/, /^Usage/, /^Usage/])
  for (const [args, error] of [[['--json'], 'no command is given'], [['two', '--json'], 'no command two']] as const) {
    t.equal(await run(...args), EXIT_USAGE)
    t.strictSame(JSON.parse(out.at(-1) ?? ''), { error, exit_code: EXIT_USAGE })
  }
  t.equal(err.length, 4)
  t.strictSame(loaded, [])
})
