/** The audit's table for a person: aligned, offenders below their row. */
import type { Row } from './audit.ts'

/** So many offenders are named; `--json` names all. */
const NAMED = 20

const COLOURS = { ok: 32, violated: 31, 'not checked': 33, faint: 2 } as const

export interface ReportOptions {
  readonly colours?: boolean
}

export function formatReport(
  rows: readonly Row[],
  { colours = false }: ReportOptions = {},
): string {
  const paint = (text: string, colour: keyof typeof COLOURS): string =>
    colours ? `\u001b[${COLOURS[colour]}m${text}\u001b[0m` : text
  const widest = (texts: readonly string[]): number => Math.max(...texts.map((text) => text.length))
  const promiseWidth = widest(rows.map(({ promise }) => promise))
  const resultWidth = widest(rows.map(resultText))
  const lines = rows.flatMap((row) => [
    [
      row.id.padEnd(3),
      row.promise.padEnd(promiseWidth),
      paint(resultText(row).padEnd(resultWidth), row.result),
      paint(row.note, 'faint'),
    ]
      .join('  ')
      .trimEnd(),
    ...row.findings.slice(0, NAMED).map(({ subject, why }) => `     ${subject}: ${why}`),
    ...(row.findings.length > NAMED
      ? [`     … and ${row.findings.length - NAMED} more (--json names all)`]
      : []),
  ])
  return [...lines, '', summary(rows), ''].join('\n')
}

function resultText({ result, needs, findings }: Row): string {
  if (result === 'violated') return `violated (${findings.length})`
  return result === 'ok' ? 'ok' : `not checked: needs ${needs}`
}

function summary(rows: readonly Row[]): string {
  const number = (result: Row['result']): number =>
    rows.filter((row) => row.result === result).length
  return `${number('ok')} ok, ${number('violated')} violated, ${number('not checked')} not checked`
}
