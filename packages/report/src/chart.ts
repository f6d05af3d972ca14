/** Values over time as a figure: the plot, its legend with the last and the greatest values, the numbers in a table. */
import type { Chart, Series, Table } from './document.ts'
import { escapeHtml } from './escape.ts'
import { renderBoundKey, renderKey, renderPlot, renderWindowKey } from './plot.ts'
import { numberText, timeStep, timeText } from './scale.ts'

/** Of the table at most, give or take two. */
const ROWS = 60

export function renderChart(chart: Chart, renderTable: (table: Table) => string): string {
  const shown = drawable(chart)
  const points = countPoints(shown)
  const leftOut = countPoints(chart) - points
  const parts = [
    `<figcaption>${escapeHtml(chart.title)}</figcaption>`,
    renderPlot(shown),
    renderLegend(shown),
  ]
  if (leftOut > 0)
    parts.push(
      `<p class="subtitle">Left out, as not finite or outside the time axis: ${numberText(leftOut)} of ${numberText(leftOut + points)} points.</p>`,
    )
  if (points > 0)
    parts.push(
      `<details class="numbers"><summary>Numbers</summary>\n${renderTable(numbersOf(shown))}\n</details>`,
    )
  return `<figure class="chart">\n${parts.join('\n')}\n</figure>`
}

/** Without what no axis can place; points and windows in order. */
function drawable(chart: Chart): Required<Chart> {
  // Of a run that ended before it began.
  const seconds = chart.seconds > 0 && Number.isFinite(chart.seconds) ? chart.seconds : 1
  return {
    ...chart,
    seconds,
    series: chart.series.map((series) => ({
      ...series,
      points: series.points
        .filter(([at, value]) => at >= 0 && at <= seconds && Number.isFinite(value))
        .sort(([one], [other]) => one - other),
    })),
    windows: (chart.windows ?? [])
      .map(({ name, from, to }) => ({
        name,
        from: Math.max(from, 0),
        to: Math.min(to, seconds),
      }))
      .filter(({ from, to }) => from <= to)
      .sort((one, other) => one.from - other.from),
    bounds: (chart.bounds ?? []).filter(({ at }) => Number.isFinite(at)),
  }
}

function countPoints({ series }: Chart): number {
  return series.reduce((sum, { points }) => sum + points.length, 0)
}

function renderLegend({ series, windows, bounds }: Required<Chart>): string {
  const items = [
    ...series.map((one, index) => renderItem(renderKey(index), one.name, summaryOf(one))),
    ...bounds.map(({ name, at }) => renderItem(renderBoundKey(), name, numberText(at))),
    ...windows.map(({ name, from, to }) =>
      renderItem(renderWindowKey(), name, `${timeText(from)}–${timeText(to)} s`),
    ),
  ]
  return `<ul class="legend">\n${items.join('\n')}\n</ul>`
}

function renderItem(key: string, name: string, note: string): string {
  return `<li>${key}${escapeHtml(name)} <span class="note">${note}</span></li>`
}

function summaryOf({ points }: Series): string {
  const last = points.at(-1)
  if (last === undefined) return 'no values'
  const greatest = points.reduce((most, [, value]) => Math.max(most, value), -Infinity)
  return `last ${numberText(last[1])} · max ${numberText(greatest)}`
}

/** A row a moment; of too many moments a row for each nice span of time, with the first value in it. */
function numbersOf({ unit, series }: Chart): Table {
  const moments = distinct(series.flatMap(({ points }) => points.map(([at]) => at)))
  const length = (moments.at(-1) ?? 0) - (moments[0] ?? 0)
  const span = moments.length > ROWS ? timeStep(length, ROWS) : undefined
  const rowOf = (at: number) => (span === undefined ? at : Math.floor(at / span + 1e-9) * span)

  const columns = series.map(
    // The last to be set stays: the first of the row.
    ({ points }) => new Map(points.toReversed().map(([at, value]) => [rowOf(at), value])),
  )
  const rows = distinct(moments.map(rowOf))
  const thinned =
    span === undefined
      ? ''
      : ` ${rows.length} rows of ${numberText(moments.length)}: the first value in each ${timeText(span)} s.`
  return {
    kind: 'table',
    caption: `In ${unit}.${thinned}`,
    columns: ['Seconds', ...series.map(({ name }) => name)].map((title) => ({
      title,
      mono: true,
      right: true,
    })),
    rows: rows.map((row) => [
      timeText(row),
      ...columns.map((values) => {
        const value = values.get(row)
        return value === undefined ? '' : numberText(value)
      }),
    ]),
  }
}

function distinct(numbers: readonly number[]): readonly number[] {
  return [...new Set(numbers)].sort((one, other) => one - other)
}
