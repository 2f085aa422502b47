/** Pieces of Markdown that the generated pages are made of. */

export function table (head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}

export function code (text: string | number): string {
  return `\`${text}\``
}

/** A frame as it travels. */
export function frameBlock (...frames: readonly object[]): string {
  return ['```json', ...frames.map((frame) => JSON.stringify(frame)), '```'].join('\n')
}

/** The second line of a page that nobody edits. */
export function writtenFrom (sources: string): string {
  return `<!-- Written by scripts/generate-docs.ts from ${sources}; do not edit. -->`
}

function line (cells: readonly string[]): string {
  return `| ${cells.map((text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`
}
