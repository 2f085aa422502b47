import t from 'tap'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkToken } from '../../demo/services/tokens.ts'
import { commandTokens, signedTokens } from '../../rehearse/tokens.ts'
import { signToken } from '../helpers/tokens.ts'

const SECRET = 'a secret of thirty-two bytes or more'
const claimsOf = (token: string): unknown => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())

t.test('a token is signed for the user and the device, with the claims that were asked for', async (t) => {
  const token = await signedTokens(SECRET, { iss: 'me' })('ann', 'phone')
  t.match(claimsOf(token), { sub: 'ann', user_id: 'ann', device_id: 'phone', iss: 'me' })
  t.ok(checkToken(token, SECRET, Date.now()).ok)
  t.throws(() => signedTokens('short', {}), /shorter than 32 bytes/)
})

t.test('a command is asked once for a token, and again when half of its life has gone', async (t) => {
  const folder = t.testdir({ calls: '', token: signToken({ exp: 2_000 }, SECRET) })
  const calls = (): string[] => readFileSync(join(folder, 'calls'), 'utf8').trim().split('\n')
  let now = 1_000_000
  // $0, $1 and $2 would be those of the inner shell.
  const source = commandTokens(`sh -c 'echo "$1 $2" >> ${folder}/calls; cat ${folder}/token' mint`, () => now)
  const tokens = await Promise.all([source('ann b', 'phone'), source('ann b', 'phone'), source('bob', 'phone')])
  t.equal(new Set(tokens).size, 1)
  t.strictSame(calls().sort(), ['ann b phone', 'bob phone'])
  now += 499_999
  await source('bob', 'phone')
  t.equal(calls().length, 2)
  now += 1
  await source('bob', 'phone')
  t.equal(calls().length, 3)
})

t.test('a command that fails is asked again, a token that says no end is kept for half a minute', async (t) => {
  const folder = t.testdir({ calls: '' })
  let now = 0
  const source = commandTokens(`sh -c 'echo >> ${folder}/calls; test $(wc -l < ${folder}/calls) -gt 2 && echo opaque || { test $(wc -l < ${folder}/calls) -eq 2 && echo two words; }' mint`, () => now)
  await t.rejects(Promise.resolve(source('ann', 'phone')))
  await t.rejects(Promise.resolve(source('ann', 'phone')), /printed no token/)
  t.equal(await source('ann', 'phone'), 'opaque')
  now = 29_999
  await source('ann', 'phone')
  t.equal(readFileSync(join(folder, 'calls'), 'utf8').length, 3)
  now = 30_000
  await source('ann', 'phone')
  t.equal(readFileSync(join(folder, 'calls'), 'utf8').length, 4)
})

t.test('a few commands run at a time, and all are answered', async (t) => {
  const source = commandTokens("sh -c 'echo $1' mint", () => 0)
  const users = Array.from({ length: 20 }, (_, i) => `u${i}`)
  t.strictSame(await Promise.all(users.map((user) => source(user, 'phone'))), users)
})
