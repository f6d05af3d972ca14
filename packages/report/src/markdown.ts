/** Tables and parts of documents that a program writes. */

/** Columns aligned as biome formats them. A cell is Markdown and holds no bare `|`. */
export function markdownTable(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const widths = columns.map((title, column) =>
    Math.max(3, ...[title, ...rows.map((row) => row[column] ?? '')].map(widthOf)),
  )
  const lineOf = (cells: readonly string[]): string =>
    `| ${widths.map((width, column) => pad(cells[column] ?? '', width)).join(' | ')} |`
  const rule = widths.map((width) => '-'.repeat(width))
  return [columns, rule, ...rows].map(lineOf).join('\n')
}

/**
 * With another text between the lines `<!-- name -->` and `<!-- /name -->`.
 * @throws Error naming the line that is missing or stands twice.
 */
export function withPart(document: string, name: string, text: string): string {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  for (const marker of [begin, end]) {
    const times = document.split(marker).length - 1
    if (times !== 1)
      throw new Error(
        `The document has the line ${marker} ${times} times: what is written by a program stands between ${begin} and ${end}, once each.`,
      )
  }
  const [from, to] = [document.indexOf(begin) + begin.length, document.indexOf(end)]
  if (to < from) throw new Error(`The document has ${end} before ${begin}.`)
  return `${document.slice(0, from)}\n\n${text.trim()}\n\n${document.slice(to)}`
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
