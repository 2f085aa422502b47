/** The version in package.json, which lies one folder up from the source and two from the built code. */
import { readFileSync } from 'node:fs'

export function readVersion (): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { name?: string, version?: string }
      if (name === 'im-gateway' && version !== undefined) return version
    } catch {}
  }
  return 'unknown'
}
