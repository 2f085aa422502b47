/** Who the clients are: user `u{n}` with one device, by a token of its own. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSigner } from 'fast-jwt'

export const SECRET = 'a secret of the benchmarks, 32 bytes or more'
const LIFE_MS = 12 * 3_600_000

/** A file with a token a line, in a folder of its own. */
export function tokensFile (count: number): string {
  const sign = createSigner({ key: SECRET, algorithm: 'HS256', expiresIn: LIFE_MS })
  const path = join(mkdtempSync(join(tmpdir(), 'im-gateway-bench-')), 'tokens')
  writeFileSync(path, Array.from({ length: count }, (_, n) => `${sign({ sub: `u${n}`, device_id: 'phone' })}\n`).join(''))
  return path
}
