/**
 * What a report consists of, whatever it reports: `html.ts` renders it. All text is plain; the renderer escapes it.
 */

/** `idle` is what did not run. A mark in front says the same as the colour. */
export type Tone = 'good' | 'bad' | 'warn' | 'idle'

/** Part of a line. `href` leads to an `Entry` of this page, as `#retry.transient`. */
export interface Span {
  readonly text: string
  readonly tone?: Tone
  /** Names, fields and numbers. */
  readonly mono?: boolean
  readonly href?: `#${string}`
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

export type Block = Table | Entries | Paragraph | Preformatted

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
