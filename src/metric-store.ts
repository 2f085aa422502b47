/**
 * Where the gateway counts. A count is one look-up by name and one by label, no label object and no hash of it; what is
 * kept is turned into samples only when somebody asks. Each metric holds at most `SERIES_LIMIT` label combinations;
 * past it everything new is counted under `other`, so that no input can grow the exposition [GW-OBS-1].
 */
import type { Meter } from './ports.ts'
import { COUNTERS, GAUGES, HISTOGRAMS, type CounterName, type GaugeName, type HistogramName, type MetricRow } from './metrics.ts'

export const SERIES_LIMIT = 64
const OVERFLOW = 'other'
const SEPARATOR = '\n'

/** One line of the exposition, without the prefix. */
export interface Sample { readonly suffix: '' | '_bucket' | '_sum' | '_count', readonly labels: Readonly<Record<string, string>>, readonly value: number }

interface Cell { value: number, read: (() => number) | undefined }

class HistogramCell {
  /** One count a bucket, the last for everything above. */
  readonly counts: Float64Array
  sum = 0

  constructor (buckets: number) {
    this.counts = new Float64Array(buckets + 1)
  }
}

/** The cells of one metric by their labels. */
class Family<C> {
  readonly row: MetricRow
  readonly #make: () => C
  readonly cells = new Map<string, C>()

  constructor (row: MetricRow, make: () => C) {
    this.row = row
    this.#make = make
    for (const key of row.values ?? (row.labels === undefined ? [''] : [])) this.cells.set(key, make())
  }

  cell (labels: readonly string[]): C {
    const key = labels.length === 0 ? '' : labels.length === 1 ? labels[0] as string : labels.join(SEPARATOR)
    return this.cells.get(key) ?? this.#add(key)
  }

  #add (key: string): C {
    const full = this.cells.size >= SERIES_LIMIT
    const label = full ? this.row.labels?.map(() => OVERFLOW).join(SEPARATOR) ?? '' : key
    let cell = this.cells.get(label)
    if (cell === undefined) {
      cell = this.#make()
      this.cells.set(label, cell)
    }
    return cell
  }

  labels (key: string): Record<string, string> {
    const values = key.split(SEPARATOR)
    return Object.fromEntries((this.row.labels ?? []).map((name, at) => [name, values[at] ?? '']))
  }
}

type Families<C> = Readonly<Record<string, Family<C>>>

function families<C> (table: Readonly<Record<string, MetricRow>>, make: (row: MetricRow) => C): Families<C> {
  return Object.fromEntries(Object.entries(table).map(([name, row]) => [name, new Family(row, () => make(row))]))
}

const emptyCell = (): Cell => ({ value: 0, read: undefined })

export class MetricStore implements Meter {
  readonly #counters: Families<Cell> = families(COUNTERS, emptyCell)
  readonly #gauges: Families<Cell> = families(GAUGES, emptyCell)
  readonly #histograms: Families<HistogramCell> = families(HISTOGRAMS, (row) => new HistogramCell(row.buckets?.length ?? 0))

  count (name: CounterName, value = 1, ...labels: string[]): void {
    (this.#counters[name] as Family<Cell>).cell(labels).value += value
  }

  set (name: GaugeName, value: number, ...labels: string[]): void {
    const cell = (this.#gauges[name] as Family<Cell>).cell(labels)
    cell.value = value
    cell.read = undefined
  }

  source (name: GaugeName, read: () => number, ...labels: string[]): void {
    (this.#gauges[name] as Family<Cell>).cell(labels).read = read
  }

  /** A value that is no number is passed over. */
  observe (name: HistogramName, value: number, ...labels: string[]): void {
    if (Number.isNaN(value)) return
    const family = this.#histograms[name] as Family<HistogramCell>
    const cell = family.cell(labels)
    const { buckets } = family.row
    let at = 0
    while (at < cell.counts.length - 1 && value > (buckets?.[at] as number)) at++
    cell.counts[at] = (cell.counts[at] as number) + 1
    cell.sum += value
  }

  counterSamples (name: CounterName): Sample[] {
    return cellSamples(this.#counters[name] as Family<Cell>)
  }

  gaugeSamples (name: GaugeName): Sample[] {
    return cellSamples(this.#gauges[name] as Family<Cell>)
  }

  /** Cumulative buckets, sum and count, as the text format asks for them. */
  histogramSamples (name: HistogramName): Sample[] {
    const family = this.#histograms[name] as Family<HistogramCell>
    const samples: Sample[] = []
    for (const [key, cell] of family.cells) {
      const labels = family.labels(key)
      let total = 0
      for (const [at, count] of cell.counts.entries()) {
        total += count
        samples.push({ suffix: '_bucket', labels: { ...labels, le: String(family.row.buckets?.[at] ?? '+Inf') }, value: total })
      }
      samples.push({ suffix: '_sum', labels, value: cell.sum }, { suffix: '_count', labels, value: total })
    }
    return samples
  }
}

function cellSamples (family: Family<Cell>): Sample[] {
  const samples: Sample[] = []
  for (const [key, cell] of family.cells) samples.push({ suffix: '', labels: family.labels(key), value: cell.read === undefined ? cell.value : readSafely(cell.read) })
  return samples
}

/** A gauge whose owner fails says so by NaN; the others are still told. */
function readSafely (read: () => number): number {
  try {
    return read()
  } catch {
    return NaN
  }
}
