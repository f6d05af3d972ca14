/** One table for the terminal and the document, and whether the bars are met. */
import { markdownTable } from '@oms/report/markdown'
import { type Summary, summarise } from './statistics.ts'

export interface Row {
  readonly what: string
  readonly unit: string
  /** One a round, or one a start. */
  readonly values: readonly number[]
  /** Ratios to a control of the same run, round by round. */
  readonly against?: { readonly control: string; readonly ratios: readonly number[] }
  readonly bar?: Bar
}

export interface Bar {
  /** What is held against it: the median value, the largest value, or the median ratio. */
  readonly on: 'median' | 'max' | 'ratio'
  readonly atLeast?: number
  readonly atMost?: number
}

/** `undefined` where there is no bar. */
export function isMet({ values, against, bar }: Row): boolean | undefined {
  if (bar === undefined) return undefined
  const value =
    bar.on === 'ratio' ? summarise(against?.ratios ?? []).median : summarise(values)[bar.on]
  return value >= (bar.atLeast ?? Number.NEGATIVE_INFINITY) && value <= (bar.atMost ?? Infinity)
}

const COLUMNS = ['', 'unit', 'n', 'median', 'min–max', 'ratio', 'bar']

export function tableOfResults(rows: readonly Row[]): string {
  return markdownTable(COLUMNS, rows.map(cellsOf))
}

function cellsOf(row: Row): string[] {
  const { n, median, min, max } = summarise(row.values)
  const range = n === 1 ? '' : `${round(min)}–${round(max)}`
  return [row.what, row.unit, String(n), round(median), range, ratioOf(row), barOf(row)]
}

function ratioOf({ against }: Row): string {
  if (against === undefined) return ''
  const { n, median, min, max }: Summary = summarise(against.ratios)
  const range = n === 1 ? '' : ` (${min.toFixed(2)}–${max.toFixed(2)})`
  return `${median.toFixed(2)} × ${against.control}${range}`
}

function barOf(row: Row): string {
  const { bar, unit } = row
  if (bar === undefined) return ''
  const [sign, value] = bar.atLeast === undefined ? ['≤', bar.atMost] : ['≥', bar.atLeast]
  const of = bar.on === 'ratio' ? '×' : unit
  return `${sign} ${value} ${of}: ${isMet(row) === true ? 'met' : 'missed'}`
}

/** Three digits that say something, or all before the point. */
function round(value: number): string {
  if (value >= 100) return value.toFixed(0)
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
