/** The table of docs/mesh.md: a row a proof. No number of a run stands in it, so that it changes with a proof alone. */
import type { MutantResult, ProofRun } from './result.ts'

const COLUMNS = ['Promise', 'Proof', 'Fields', 'Witnesses', 'Mutants'] as const
const BEGIN = '<!-- proofs -->'
const END = '<!-- /proofs -->'

/** Of a run without red proofs: those have not heard all of their witnesses. As biome formats it. */
export function markdownTable(run: ProofRun, mutants: readonly MutantResult[] = []): string {
  const rows = [...run.proofs]
    .sort((a, b) => compare(a.name, b.name))
    .map(({ name, promise, fields, outcome, witnesses }) => [
      prose(promise),
      code(name),
      list(fields),
      outcome === 'not run' ? 'not run' : prose(witnessesOf(witnesses)),
      list(
        mutants
          .filter(({ kills }) => kills.includes(name))
          .map(({ id }) => id)
          .sort(compare),
      ),
    ])
  const widths = COLUMNS.map((title, column) =>
    Math.max(...[title, ...rows.map((row) => row[column] ?? '')].map(widthOf)),
  )
  const lineOf = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => pad(cell, widths[column] ?? 0)).join(' | ')} |`
  return [lineOf(COLUMNS), lineOf(widths.map((width) => '-'.repeat(width))), ...rows.map(lineOf)]
    .concat('')
    .join('\n')
}

/** @throws Error naming the marker that is missing or stands twice. */
export function withTable(markdown: string, table: string): string {
  for (const marker of [BEGIN, END]) {
    const times = markdown.split(marker).length - 1
    if (times !== 1)
      throw new Error(
        `The document has the line ${marker} ${times} times: the table of the proofs stands between ${BEGIN} and ${END}, once each.`,
      )
  }
  const [begin, end] = [markdown.indexOf(BEGIN) + BEGIN.length, markdown.indexOf(END)]
  if (end < begin) throw new Error(`The document has ${END} before ${BEGIN}.`)
  return `${markdown.slice(0, begin)}\n\n${table.trimEnd()}\n\n${markdown.slice(end)}`
}

/** `ledger: tries of the order; envoy: retries`, each once, in the order of the proof. */
function witnessesOf(witnesses: ProofRun['proofs'][number]['witnesses']): string {
  return [...new Set(witnesses.map(({ source, what }) => `${source}: ${what}`))].join('; ')
}

/** The same in every locale. */
function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

function list(names: readonly string[]): string {
  return names.map(code).join(', ')
}

/** A cell ends at a `|`, in code as well. */
function code(text: string): string {
  const inner = oneLine(text).replaceAll('|', '\\|')
  const fence = inner.includes('`') ? '``' : '`'
  const space = /^`|`$/.test(inner) ? ' ' : ''
  return [fence, space, inner, space, fence].join('')
}

function prose(text: string): string {
  return oneLine(text)
    .replace(/[\\`*<[|]|(?<!\w)_|_(?!\w)/g, '\\$&')
    .replace(/&(?=#?\w+;)/g, '\\&')
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}

function pad(cell: string, width: number): string {
  return cell + ' '.repeat(width - widthOf(cell))
}

/** Columns of a terminal, as biome counts them: two for an emoji and for East Asian letters. */
function widthOf(text: string): number {
  return [...GRAPHEMES.segment(text)]
    .map(({ segment }) => (WIDE.test(segment) ? 2 : 1))
    .reduce((sum: number, width) => sum + width, 0)
}

const GRAPHEMES = new Intl.Segmenter('en')
const WIDE =
  /\p{Emoji_Presentation}|\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}/u
