import t from 'tap'
import { isLoopback, LIMITS, readOptions, USAGE } from '../../rehearse/options.ts'

const NEEDED = ['--url', 'ws://127.0.0.1:8080/ws', '--token-command', 'mint']
const read = (...args: string[]) => readOptions([...NEEDED, ...args], () => 0.5)

t.test('what is not given has the default of the table', async (t) => {
  const options = read()
  t.match(options, { urls: ['ws://127.0.0.1:8080/ws'], faults: [], tokenCommand: 'mint', secretFile: undefined, claims: {}, users: 'rehearse-', isAgreed: false, isJson: false })
  for (const [name, limit] of Object.entries(LIMITS)) t.equal(options?.limits[name as keyof typeof LIMITS], limit.default, name)
  t.equal(options?.seed, 2 ** 30 - 1)
})

t.test('everything can be given', async (t) => {
  t.match(read('--url', 'wss://b.example/ws', '--faults', 'storm,restart', '--restart-command', 'roll', '--connections', '100', '--seed', '7', '--users', 'load.', '--claims', '{"iss":"me"}', '--yes', '--json'), {
    urls: ['ws://127.0.0.1:8080/ws', 'wss://b.example/ws'], faults: ['storm', 'restart'], restartCommand: 'roll', limits: { connections: 100 }, seed: 7, users: 'load.', claims: { iss: 'me' }, isAgreed: true, isJson: true
  })
  t.match(readOptions(['--url', 'ws://a/ws', '--secret-file', 'key'], Math.random), { secretFile: 'key' })
  t.equal(read('--help'), undefined)
  for (const name of Object.keys(LIMITS)) t.ok(USAGE.includes(`--${name} N`), name)
})

t.test('what is wrong is told', async (t) => {
  const cases: ReadonlyArray<readonly [args: readonly string[], words: RegExp]> = [
    [['--token-command', 'mint'], /there is no default/],
    [['--url', 'http://a/ws', '--token-command', 'mint'], /is ws:\/\//],
    [['--url', 'a', '--token-command', 'mint'], /is ws:\/\//],
    [['--url', 'ws://a/ws'], /either --token-command or --secret-file/],
    [[...NEEDED, '--secret-file', 'key'], /either --token-command or --secret-file/],
    [[...NEEDED, '--faults', 'flood'], /knows restart, slow-readers, storm, not flood/],
    [[...NEEDED, '--restart-command', 'roll'], /needs --faults restart/],
    [[...NEEDED, '--connections', '20001'], /--connections is a whole number from 2 to 20000/],
    [[...NEEDED, '--connections', '1e3'], /--connections is a whole number/],
    [[...NEEDED, '--rate', '0'], /--rate is a whole number/],
    [[...NEEDED, '--rate', '1001'], /more than 50 messages a second for each of 20 writing clients/],
    [[...NEEDED, '--users', 'a b'], /--users is/],
    [[...NEEDED, '--seed', '-1'], /seed/],
    [[...NEEDED, '--claims', '[]'], /--claims is a JSON object/],
    [[...NEEDED, '--claims', '{'], /--claims is a JSON object/],
    [[...NEEDED, '--fault', 'storm'], /Unknown option/],
    [[...NEEDED, 'storm'], /positional/]
  ]
  for (const [args, message] of cases) t.throws(() => readOptions(args, () => 0), { name: 'UsageError', message }, args.join(' '))
})

t.test('only this machine needs no yes', async (t) => {
  for (const url of ['ws://127.0.0.1:1/ws', 'ws://127.9.9.9/ws', 'ws://localhost/ws', 'wss://[::1]:8/ws']) t.ok(isLoopback(url), url)
  for (const url of ['ws://10.0.0.1/ws', 'wss://gateway.example/ws', 'ws://127.example/ws', 'ws://localhost.example/ws', 'ws://[2001:db8::1]/ws']) t.notOk(isLoopback(url), url)
})
