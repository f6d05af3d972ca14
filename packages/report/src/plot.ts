/** The drawing of a chart: axes, shaded windows, bounds and curves as one SVG that asks for nothing else. */
import type { Chart, Series, TimeWindow } from './document.ts'
import { escapeHtml } from './escape.ts'
import { timeText, timeTicks, valueTicks } from './scale.ts'

type Points = Series['points']

/** Of the viewBox, as all lengths here: pixels where the page is wide. */
const WIDTH = 800
const LEFT = 64
const RIGHT = 784
/** Above the plot: the unit, then rows of windows' names. */
const HEAD = 20
const ROW = 16
const HEIGHT = 220
/** Below the plot: the labels of the ticks, the unit of time. */
const FOOT = 40
/** Of a character; the reader's font is unknown. */
const CHARACTER = 7

const COLOURS = 6
/** Around a point. Dashes would be mistaken for bounds and for gaps. */
const SIGNS = [
  'm-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0',
  'm-3-3h6v6h-6z',
  'm0-4l4 7h-8z',
  'm0-4l4 4l-4 4l-4-4z',
  'm-3-3l6 6m0-6l-6 6',
  'm-4 0h8m-4-4v8',
]
/** About; each series has them elsewhere. */
const SIGNS_A_SERIES = 10

/** A hair above 3: distances are differences of rounded times. */
const GAP_MEDIANS = 3 + 1e-6

interface Scales {
  readonly x: (seconds: number) => number
  readonly y: (value: number) => number
  readonly top: number
  readonly bottom: number
}

/** Wants points and windows within the time axis, in order, and finite numbers. */
export function renderPlot(chart: Required<Chart>): string {
  const { title, unit, seconds, series, windows, bounds } = chart
  const values = series.flatMap(({ points }) => points.map(([, value]) => value))
  const ticks = valueTicks([...values, ...bounds.map(({ at }) => at)])
  const low = ticks[0]?.at ?? 0
  const high = ticks.at(-1)?.at ?? 1
  const x = (at: number) => round(LEFT + (at / seconds) * (RIGHT - LEFT))
  const names = placeNames(windows, x)
  const top = HEAD + ROW * Math.max(0, ...names.map(({ row }) => row + 1))
  const bottom = top + HEIGHT
  const y = (value: number) => round(bottom - ((value - low) / (high - low)) * HEIGHT)
  const scales: Scales = { x, y, top, bottom }

  const parts = [
    `<title>${escapeHtml(title)}</title>`,
    ...windows.map((window) => renderWindow(window, scales)),
    ...names.map(({ name, left, row }) => text(name, left, HEAD + ROW * row + 11)),
    text(unit, 4, 12),
    ...ticks.map(
      ({ at, label }) =>
        `<path class="grid" d="M${LEFT} ${y(at)}H${RIGHT}"/>${text(label, LEFT - 8, y(at) + 4, 'edge')}`,
    ),
    ...renderTime(seconds, scales),
    ...bounds.map(({ at }) => `<path class="bound" d="M${LEFT} ${y(at)}H${RIGHT}"/>`),
    ...series.map((one, index) => renderSeries(one, index, seconds, scales)),
    ...bounds.map(({ name, at }) => {
      const offset = y(at) - top < ROW ? 14 : -5
      return text(name, RIGHT - 4, y(at) + offset, 'edge over')
    }),
  ]
  if (values.length === 0)
    parts.push(text('no values', (LEFT + RIGHT) / 2, top + HEIGHT / 2, 'middle over'))
  const label = escapeHtml(`${title}: ${unit} over ${timeText(seconds)} s`)
  return `<svg class="plot" viewBox="0 0 ${WIDTH} ${bottom + FOOT}" role="img" aria-label="${label}">
${parts.join('\n')}
</svg>`
}

/** A piece of the curve with its sign, for the legend. */
export function renderKey(index: number): string {
  return key(
    `<g class="${colourOf(index)}"><path class="curve" d="M0 6H28"/><path class="signs" d="M14 6${signOf(index)}"/></g>`,
  )
}

export function renderBoundKey(): string {
  return key('<path class="bound" d="M0 6H28"/>')
}

export function renderWindowKey(): string {
  return key('<rect class="window" width="28" height="12"/>')
}

function key(content: string): string {
  return `<svg class="key" viewBox="0 0 28 12" aria-hidden="true">${content}</svg>`
}

/** The names stand above the plot, one row or more, so that none lies on another. */
function placeNames(
  windows: readonly TimeWindow[],
  x: Scales['x'],
): readonly { readonly name: string; readonly left: number; readonly row: number }[] {
  const ends: number[] = []
  return windows.map(({ name, from }) => {
    const width = name.length * CHARACTER
    const left = Math.max(LEFT, Math.min(x(from), RIGHT - width))
    const free = ends.findIndex((end) => end < left)
    const row = free < 0 ? ends.length : free
    ends[row] = left + width
    return { name, left, row }
  })
}

function renderWindow({ from, to }: TimeWindow, { x, top }: Scales): string {
  // A moment has a width as well.
  const width = Math.max(round(x(to) - x(from)), 1)
  return `<rect class="window" x="${x(from)}" y="${top}" width="${width}" height="${HEIGHT}"/>`
}

function renderTime(seconds: number, { x, top, bottom }: Scales): string[] {
  const { unit, ticks } = timeTicks(seconds)
  return [
    ...ticks.map(
      ({ at, label }) =>
        `<path class="grid" d="M${x(at)} ${top}V${bottom}"/>${text(label, x(at), bottom + 16, 'middle')}`,
    ),
    text(unit, (LEFT + RIGHT) / 2, bottom + 34, 'middle'),
  ]
}

function renderSeries(
  { points, steps }: Series,
  index: number,
  seconds: number,
  { x, y }: Scales,
): string {
  if (points.length === 0) return ''
  const runs = runsOf(points)
  const curve = runs.flatMap((run) =>
    run.map(([at, value], nth) => {
      if (nth === 0) return `M${x(at)} ${y(value)}`
      return steps ? `H${x(at)}V${y(value)}` : `L${x(at)} ${y(value)}`
    }),
  )
  const sign = signOf(index)
  const signs = signedOf(runs, seconds, index).map(([at, value]) => `M${x(at)} ${y(value)}${sign}`)
  return `<g class="${colourOf(index)}"><path class="curve" d="${curve.join('')}"/><path class="signs" d="${signs.join('')}"/></g>`
}

/** Points that are joined. */
function runsOf(points: Points): readonly Points[] {
  const distances = points.slice(1).map(([at], index) => at - (points[index]?.[0] ?? at))
  const longest = GAP_MEDIANS * median(distances.filter((distance) => distance > 0))
  const starts = distances.flatMap((distance, index) => (distance > longest ? [index + 1] : []))
  return [0, ...starts].map((start, nth) => points.slice(start, starts[nth]))
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((one, other) => one - other)
  const middle = sorted.length / 2
  const [below = 0, above = below] = sorted.slice(Math.ceil(middle) - 1, Math.floor(middle) + 1)
  return (below + above) / 2
}

/** A point that stands alone is seen by its sign only; the last one is the legend's. */
function signedOf(runs: readonly Points[], seconds: number, index: number): Points {
  const points = runs.flat()
  if (points.length <= SIGNS_A_SERIES) return points
  const slotOf = (at: number) => Math.floor((at / seconds) * SIGNS_A_SERIES - index / COLOURS)
  return runs.flatMap((run) =>
    run.filter((point, nth) => {
      if (run.length === 1 || point === points.at(-1)) return true
      const before = run[nth - 1]
      return before !== undefined && slotOf(point[0]) > slotOf(before[0])
    }),
  )
}

function colourOf(index: number): string {
  return `series-${(index % COLOURS) + 1}`
}

/** A colour that comes again has another sign. */
function signOf(index: number): string {
  return SIGNS[(index + Math.floor(index / COLOURS)) % SIGNS.length] ?? ''
}

function text(content: string, x: number, y: number, names = ''): string {
  const attribute = names === '' ? '' : ` class="${names}"`
  return `<text${attribute} x="${round(x)}" y="${round(y)}">${escapeHtml(content)}</text>`
}

/** To tenths. */
function round(length: number): number {
  return Math.round(length * 10) / 10
}
