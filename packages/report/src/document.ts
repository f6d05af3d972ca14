/**
 * What a report consists of, whatever it reports: `html.ts` renders it. All text is plain; the renderer escapes it.
 */

/** `idle` is what did not run. A mark in front says the same as the colour. */
export type Tone = 'good' | 'bad' | 'warn' | 'idle'

/** Part of a line. `href` leads to an `Entry` of this page, as `#retry.transient`, or to another page: a trace. */
export interface Span {
  readonly text: string
  readonly tone?: Tone
  /** Names, fields and numbers. */
  readonly mono?: boolean
  readonly href?: `#${string}` | `http://${string}` | `https://${string}`
}

/** One piece or several, with nothing between them. */
export type Line = string | Span | readonly (string | Span)[]

export interface Column {
  readonly title: string
  readonly mono?: boolean
  /** Numbers of one unit, below each other. */
  readonly right?: boolean
}

export interface Table {
  readonly kind: 'table'
  readonly caption?: string
  readonly columns: readonly Column[]
  /** As many cells as columns; the first names the row. */
  readonly rows: readonly (readonly Line[])[]
}

export interface Entry {
  /** Unique on the page, for links. */
  readonly id?: string
  readonly tone: Tone
  readonly summary: Line
  /** At the right end of the summary: a duration. */
  readonly note?: string
  readonly open?: boolean
  readonly blocks: readonly Block[]
}

/** Each opens on a click; the page filters them by text and by tone. */
export interface Entries {
  readonly kind: 'entries'
  readonly entries: readonly Entry[]
}

export interface Paragraph {
  readonly kind: 'paragraph'
  readonly text: Line
}

export interface Preformatted {
  readonly kind: 'preformatted'
  readonly text: string
}

/**
 * Values over time, drawn as lines or steps. Points that are not finite or not on the time axis are left out, and
 * counted below. Six series have a colour and a sign each; after that a colour comes again with another sign.
 */
export interface Chart {
  readonly kind: 'chart'
  readonly title: string
  /** Of the vertical axis: `1/s`, `ms`, `orders`. 0 is always on it. */
  readonly unit: string
  /** Length of the time axis in seconds; it begins at 0. */
  readonly seconds: number
  readonly series: readonly Series[]
  /** Shaded, with a name: a fault. */
  readonly windows?: readonly TimeWindow[]
  /** Horizontal dashed lines: a bound that was declared. */
  readonly bounds?: readonly { readonly name: string; readonly at: number }[]
}

export interface Series {
  readonly name: string
  /** In any order. Further apart than three times their median distance, two are not joined. */
  readonly points: readonly (readonly [seconds: number, value: number])[]
  /** A value holds until the next one: a number of pods. */
  readonly steps?: boolean
}

/** In seconds. What reaches beyond the time axis is cut: `to` may be `Infinity`. A moment has `to` equal to `from`. */
export interface TimeWindow {
  readonly name: string
  readonly from: number
  readonly to: number
}

export type Block = Table | Entries | Paragraph | Preformatted | Chart

export interface Section {
  readonly title: string
  readonly blocks: readonly Block[]
}

export interface ReportDocument {
  readonly title: string
  readonly subtitle: string
  readonly verdict: { readonly text: string; readonly tone: Tone }
  /** Label and value. */
  readonly facts: readonly (readonly [string, Line])[]
  readonly sections: readonly Section[]
}
