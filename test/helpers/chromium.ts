/** A real Chromium, driven by Playwright; it ends with the test. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { chromium, type Browser } from 'playwright-core'
import type { Test } from 'tap'

const TOOLS = join(import.meta.dirname, '../../scripts/tools.sh')
const INSTALL_TIMEOUT_MS = 280_000

export async function startChromium (t: Test): Promise<Browser> {
  const bin = execFileSync('bash', [TOOLS, 'chromium'], { encoding: 'utf8', timeout: INSTALL_TIMEOUT_MS }).trim()
  // Its sandbox refuses root; what it shows here is our own.
  const browser = await chromium.launch({ executablePath: join(bin, 'chromium'), chromiumSandbox: false, args: ['--disable-gpu', '--disable-dev-shm-usage'] })
  t.teardown(() => browser.close())
  return browser
}
