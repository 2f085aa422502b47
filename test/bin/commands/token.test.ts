import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { tokenCommand } from '../../../bin/commands/token.ts'
import { EXIT_CONFIG, EXIT_NO, EXIT_OK, EXIT_USAGE } from '../../../bin/exit-codes.ts'
import { signToken } from '../../helpers/tokens.ts'

const SECRET = 'a secret for development, 32 bytes'
const OTHER = 'another secret that is long enough!'
const nowS = (): number => Math.floor(Date.now() / 1000)

async function run (args: readonly string[], env: Readonly<Record<string, string>> = {}, input = '') {
  let [out, err] = ['', '']
  const code = await tokenCommand(args, { out: (text) => { out += text }, err: (text) => { err += text } }, env, Readable.from([input]))
  return { code, out, err }
}

t.test('a token is made with the key that is given, for the user, device and time that are asked for', async (t) => {
  const env = { JWT_SECRET: SECRET, JWT_ISSUER: 'dev', JWT_AUDIENCE: 'chat' }
  const { code, out } = await run(['mint', 'ann', '--device', 'phone', '--ttl', '5m', '--json'], env)
  t.equal(code, EXIT_OK)
  const { token, claims } = JSON.parse(out) as { token: string, claims: { iat: number, exp: number } }
  t.match(claims, { sub: 'ann', device_id: 'phone', iss: 'dev', aud: 'chat' })
  t.equal(claims.exp - claims.iat, 300)
  t.match(await run(['inspect', token], env), { code: EXIT_OK, out: /^header +\{"alg":"HS256","typ":"JWT"\}\nsub +"ann"\ndevice_id +"phone"\n[^]*exp +\d+ {2}\d{4}-[^]*expiry +in \d+ s\nsignature +valid\n$/ })
  t.match(await run(['inspect'], { JWT_SECRET: OTHER }, `${token}\n`), { code: EXIT_NO, out: /signature +INVALID_TOKEN\n$/ }, 'from standard input')
  t.match(await run(['mint', 'ann'], { JWT_SECRET: SECRET }), { code: EXIT_OK, out: /^[\w-]+\.[\w-]+\.[\w-]+\n$/ })
})

t.test('without a key nothing is made', async (t) => {
  t.match(await run(['mint', 'ann']), { code: EXIT_CONFIG, out: '', err: /no key to sign with/ })
  t.match(await run(['mint', 'ann'], { JWT_SECRET: 'short' }), { code: EXIT_CONFIG, out: '', err: /at least 32 bytes/ })
  t.match(await run(['mint', 'ann'], { JWT_SECRET: SECRET, JWT_SECRET_FILE: '/no/such/file' }), { code: EXIT_CONFIG, err: /both are set/ })
  t.match(await run(['mint', 'ann', '--key-file', '/no/such/file']), { code: EXIT_CONFIG, err: /ENOENT/ })
})

t.test('a private key signs with its own algorithm, and its public key checks', async (t) => {
  const folder = t.testdir({})
  for (const [name, alg, { privateKey, publicKey }] of [
    ['rsa', 'RS256', generateKeyPairSync('rsa', { modulusLength: 2048 })], ['ec', 'ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })], ['ed', 'EdDSA', generateKeyPairSync('ed25519')]
  ] as const) {
    const path = join(folder, `${name}.pem`)
    writeFileSync(path, privateKey.export({ type: 'pkcs8', format: 'pem' }))
    const { out } = await run(['mint', 'ann', '--key-file', path])
    const inspected = await run(['inspect', '--json', out.trim()], { JWT_PUBLIC_KEY: publicKey.export({ type: 'spki', format: 'pem' }).toString() })
    t.match(JSON.parse(inspected.out), { header: { alg }, claims: { sub: 'ann' }, expired: false, checked: true, signature: 'valid' }, name)
  }
})

t.test('a look into a token checks nothing without a key, and says when it has expired', async (t) => {
  const past = signToken({ user_id: 'bob', exp: nowS() - 60 }, OTHER)
  t.match(await run(['inspect', past]), { code: EXIT_NO, out: /user_id +"bob"\n[^]*expired 6\d s ago\nsignature +not checked: no key is given\n/ })
  t.match(await run(['inspect', signToken({ sub: 'bob' }, OTHER)]), { code: EXIT_NO, out: /there is no exp/ })
  t.match(await run(['inspect', signToken({ sub: 'bob', exp: nowS() + 60 }, OTHER)]), { code: EXIT_OK, out: /expiry +in \d+ s/ })
})

t.test('what makes no sense is refused with the usage', async (t) => {
  const env = { JWT_SECRET: SECRET }
  for (const [args, words] of [
    [[], /^an argument is missing\n\nUsage/], [['mint'], /USER is missing/], [['burn', 'x'], /there is no token burn/], [['mint', 'ann', '--ttl', 'soon'], /--ttl/], [['mint', 'ann', '--ttl', '0'], /--ttl/], [['mint', 'a\u0007'], /USER has/],
    [['mint', 'ann', '--device', 'a b'], /--device/], [['inspect', 'x.y.z'], /no token/], [['inspect', 'nonsense'], /no token/], [['mint', 'ann', 'bob'], /^what is bob\?\n\nUsage/], [['mint', 'ann', '--loud'], /--loud/]
  ] as const) t.match(await run(args, env), { code: EXIT_USAGE, out: '', err: words }, args.join(' '))
  t.match(await run(['--help']), { code: EXIT_OK, out: /token inspect/ })
})
