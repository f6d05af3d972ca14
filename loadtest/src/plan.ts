/** What a run tells k6, and what k6 tells of it: JSON both ways. Types only, so that scripts of k6 can import it. */

/** What an arrival does. Weights of one load, whatever their sum. */
export type Journey = 'place' | 'read' | 'cancel' | 'replay' | 'list'

export interface Stage {
  readonly seconds: number
  /** Arrivals a second at its end; it begins with the end of the one before. */
  readonly rate: number
}

export interface OrderLine {
  readonly sku: string
  readonly quantity: number
}

/** One stream of arrivals, in an open model: they come whatever became of the others. */
export interface Load {
  readonly tenant: string
  readonly journeys: Readonly<Partial<Record<Journey, number>>>
  readonly lines: readonly OrderLine[]
  /** Payment tokens, taken in turn: their prefix decides what the card processor does. */
  readonly tokens: readonly string[]
  readonly startRate: number
  /** So many clients in place of arrivals: each begins its next order when it has the answer of the last one. */
  readonly callers?: number
  readonly stages: readonly Stage[]
  /** Requests for one order at most. */
  readonly asks: number
  /** Whether its clients give up when they are told that there is too much to do (429). */
  readonly takesNo: boolean
}

export interface Plan {
  /** Of the API: `https://orders.example.com`. */
  readonly url: string
  /** Name → `address:port`, in place of DNS. */
  readonly hosts: Readonly<Record<string, string>>
  /** Tenant → headers that say so: a token, or the header that the gateway would make of it. */
  readonly tenants: Readonly<Record<string, Readonly<Record<string, string>>>>
  readonly loads: Readonly<Record<string, Load>>
  /** k6's own: metric → conditions. */
  readonly thresholds: Readonly<Record<string, readonly string[]>>
  /** Share of orders asked for once that are traced; whoever asks again is always traced, unless nobody is. */
  readonly sampled: number
  /** Seconds for which an order is asked after. */
  readonly patienceSeconds: number
  /** With the order's own key; false breaks the client on purpose. */
  readonly sameKey: boolean
}

/** Of one request. */
export interface Ask {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly ms: number
  /** 0: no answer. */
  readonly status: number
  readonly key: string
  /** The order as the answer tells it, where it tells one. */
  readonly amountMinor?: number
  /** Of the body, where it is one that must always be the same. */
  readonly sha256?: string
}

/**
 * How an order ended for its client. `shed`: it was told that there is too much to do, and gave up; `open`: its patience
 * ended first.
 */
export type End = 'confirmed' | 'refused' | 'cancelled' | 'shed' | 'open' | 'wrong'

/** A line of k6's output for each order that a client meant. */
export interface OrderTold {
  readonly kind: 'order'
  readonly load: string
  readonly tenant: string
  readonly journey: Journey
  /** A UUID: it becomes the order's id. */
  readonly key: string
  readonly traceId: string
  readonly body: object
  readonly at: number
  readonly asks: readonly Ask[]
  readonly end: End
  /** What was wrong with an answer. */
  readonly problem?: string
}

export interface ThresholdTold {
  readonly metric: string
  readonly condition: string
  readonly ok: boolean
}

/** The last line. */
export interface SummaryTold {
  readonly kind: 'summary'
  readonly thresholds: readonly ThresholdTold[]
  /** Metric → statistic → value. */
  readonly metrics: Readonly<Record<string, Readonly<Record<string, number>>>>
}

/** The first line. */
export interface StartTold {
  readonly kind: 'start'
  readonly at: number
}

export type Told = StartTold | OrderTold | SummaryTold
