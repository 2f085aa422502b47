/** Certificates made for a test by openssl: an authority, and keys that it signed for names. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface KeyPair { readonly cert: string, readonly key: string }

export interface Authority {
  readonly ca: string
  /** `altNames` as openssl has them: `DNS:a.example,URI:spiffe://b,IP:127.0.0.1`. */
  sign (altNames: string): KeyPair
  remove (): void
}

export function createAuthority (): Authority {
  const folder = mkdtempSync(join(tmpdir(), 'im-gateway-certificates-'))
  const at = (name: string): string => join(folder, name)
  const openssl = (...args: string[]): void => { execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] }) }
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl('req', '-x509', ...newKey, '-keyout', at('ca.key'), '-out', at('ca.pem'), '-days', '2', '-subj', '/CN=test authority')
  let serial = 0
  return {
    ca: readFileSync(at('ca.pem'), 'utf8'),
    sign (altNames) {
      const name = `pair-${++serial}`
      writeFileSync(at(`${name}.ext`), `subjectAltName=${altNames}\n`)
      openssl('req', ...newKey, '-keyout', at(`${name}.key`), '-out', at(`${name}.csr`), '-subj', '/CN=test')
      openssl('x509', '-req', '-in', at(`${name}.csr`), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-set_serial', String(serial), '-days', '2', '-extfile', at(`${name}.ext`), '-out', at(`${name}.pem`))
      return { cert: readFileSync(at(`${name}.pem`), 'utf8'), key: readFileSync(at(`${name}.key`), 'utf8') }
    },
    remove () { rmSync(folder, { recursive: true, force: true }) }
  }
}
