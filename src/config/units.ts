/** Durations and sizes as operators write them. */

const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/
const DURATION_PART = /(\d+(?:\.\d+)?)(ms|s|m|h)/g
const DURATION_UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

const SIZE = /^(\d+(?:\.\d+)?)\s*(?:([kmg])i?)?b?$/i
const SIZE_UNIT_BYTES: Readonly<Record<string, number>> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3 }

/** `500ms`, `30s`, `1m30s`, `0` to whole milliseconds; undefined where it is none of these. */
export function parseDuration (text: string): number | undefined {
  if (text === '0') return 0
  if (!DURATION.test(text)) return undefined
  let totalMs = 0
  for (const [, amount, unit] of text.matchAll(DURATION_PART)) {
    totalMs += Number(amount) * (DURATION_UNIT_MS[unit as string] as number)
  }
  return Number.isSafeInteger(Math.round(totalMs)) ? Math.round(totalMs) : undefined
}

/** `4096`, `10KB`, `64MB`, `1GiB`, `512Mi` to whole bytes, always by 1024; undefined where it is none of these. */
export function parseSize (text: string): number | undefined {
  const match = SIZE.exec(text)
  if (match === null) return undefined
  const unit = match[2] === undefined ? 1 : SIZE_UNIT_BYTES[match[2].toLowerCase()] as number
  const bytes = Math.round(Number(match[1]) * unit)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** Milliseconds in the largest unit that divides them: 90000 is `90s`. */
export function formatDuration (ms: number): string {
  if (ms === 0) return '0s'
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000}h`
  if (ms % 60_000 === 0 && ms > 120_000) return `${ms / 60_000}m`
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`
}

/** Bytes in the largest unit that divides them: 10240 is `10KB`. */
export function formatSize (bytes: number): string {
  for (const [unit, size] of [['GB', 1024 ** 3], ['MB', 1024 ** 2], ['KB', 1024]] as const) {
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`
  }
  return `${bytes}`
}
