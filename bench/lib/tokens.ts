/** Who the clients are: user `u{n}` with one device, by a token of its own. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSigner } from 'fast-jwt'
import { SCRATCH } from './scratch.ts'

export const SECRET = 'a secret of the benchmarks, 32 bytes or more'
const LIFE_MS = 12 * 3_600_000

/** A file with a token a line; the first is that of user `u{from}`. */
export function tokensFile (count: number, from = 0): string {
  const sign = createSigner({ key: SECRET, algorithm: 'HS256', expiresIn: LIFE_MS })
  const path = join(SCRATCH, `tokens-${from}-${count}`)
  writeFileSync(path, Array.from({ length: count }, (_, n) => `${sign({ sub: `u${from + n}`, device_id: 'phone' })}\n`).join(''))
  return path
}
