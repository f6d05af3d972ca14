/** Each block of a report as HTML. */
import { renderChart } from './chart.ts'
import type { Block, Column, Entry, Line, Span, Table, Tone } from './document.ts'
import { escapeHtml } from './escape.ts'

/** The sign for the eye and the word for who hears the page. */
const MARKS: Readonly<Record<Tone, { readonly sign: string; readonly word: string }>> = {
  good: { sign: '✓', word: 'good' },
  bad: { sign: '✗', word: 'bad' },
  warn: { sign: '!', word: 'warning' },
  idle: { sign: '–', word: 'not run' },
}

/** Exhaustive: a new kind of block does not compile before it stands here. */
const BLOCKS: {
  readonly [Kind in Block['kind']]: (block: Extract<Block, { readonly kind: Kind }>) => string
} = {
  paragraph: ({ text }) => `<p>${renderLine(text)}</p>`,
  preformatted: ({ text }) => `<pre>${escapeHtml(text)}</pre>`,
  entries: ({ entries }) => `<div class="entries">\n${entries.map(renderEntry).join('\n')}\n</div>`,
  table: renderTable,
  chart: (chart) => renderChart(chart, renderTable),
}

export function renderBlock(block: Block): string {
  // TypeScript does not see that a block and the function of its kind belong together.
  return (BLOCKS[block.kind] as (block: Block) => string)(block)
}

export function renderMark(tone: Tone): string {
  const { sign, word } = MARKS[tone]
  return `<span class="mark ${tone}" role="img" aria-label="${word}">${sign}</span> `
}

export function renderLine(line: Line): string {
  return (Array.isArray(line) ? line : [line]).map(renderSpan).join('')
}

function renderSpan(span: string | Span): string {
  if (typeof span === 'string') return escapeHtml(span)
  const text = span.mono ? `<code>${escapeHtml(span.text)}</code>` : escapeHtml(span.text)
  const marked = span.tone
    ? `<span class="${span.tone}">${renderMark(span.tone)}${text}</span>`
    : text
  return span.href ? `<a href="${escapeHtml(span.href)}">${marked}</a>` : marked
}

function renderEntry({ id, tone, summary, note, open, blocks }: Entry): string {
  const attributes = [
    id === undefined ? '' : ` id="${escapeHtml(id)}"`,
    ` class="entry" data-tone="${tone}"`,
    open ? ' open' : '',
  ].join('')
  return `<details${attributes}>
<summary>${renderMark(tone)}<span class="what">${renderLine(summary)}</span>${note === undefined ? '' : `<span class="note">${escapeHtml(note)}</span>`}</summary>
<div class="inner">
${blocks.map(renderBlock).join('\n')}
</div>
</details>`
}

function renderTable({ caption, columns, rows }: Table): string {
  const classOf = ({ mono, right }: Column): string => {
    const names = [mono ? 'mono' : '', right ? 'right' : ''].filter(Boolean)
    return names.length > 0 ? ` class="${names.join(' ')}"` : ''
  }
  const head = columns.map(
    (column) => `<th scope="col"${classOf(column)}>${escapeHtml(column.title)}</th>`,
  )
  const body = rows.map((row) => {
    const cells = columns.map((column, index) => {
      const [tag, scope] = index === 0 ? ['th', ' scope="row"'] : ['td', '']
      return `<${tag}${scope}${classOf(column)}>${renderLine(row[index] ?? '')}</${tag}>`
    })
    return `<tr>${cells.join('')}</tr>`
  })
  return `<div class="scroll"><table>
${caption === undefined ? '' : `<caption>${escapeHtml(caption)}</caption>\n`}<thead><tr>${head.join('')}</tr></thead>
<tbody>
${body.join('\n')}
</tbody>
</table></div>`
}
