/** Everything the invariants look at: compact rows of three databases and what other witnesses recorded. */

/** `tenant/order`: a tenant's name has no slash. */
export type Key = string

export interface Order {
  readonly state: number
  readonly amount: number
  /** Hexadecimal; null is a tombstone. */
  readonly fp: string | null
  readonly cancelRequested: boolean
  /** The lease ran out. */
  readonly due: boolean
  /** … more than 60 s ago. */
  readonly overdue: boolean
}

export interface HistoryStep {
  /** 0: the state in which the trigger found the order. */
  readonly seq: number
  readonly state: number
  readonly verdict: string
  readonly cancelRequested: boolean
}

/** A row of the outbox or of order_event. */
export interface Announcement {
  readonly key: Key
  readonly type: string
  readonly pending: boolean
  /** Pending: its age; else from the order's end to the event. Null: an event of no final order. */
  readonly ageMs: number | null
}

export interface Payment {
  readonly state: number
  readonly amount: number
  readonly currency: string
  readonly pspKey: string | null
  readonly pspRef: string | null
  readonly due: boolean
}

export interface Refund {
  readonly key: Key
  readonly state: number
  readonly amount: number
  readonly pspKey: string
  readonly pspRef: string | null
  readonly due: boolean
}

/** Account `psp` of one order in one currency, from the ledger table. */
export interface Account {
  readonly key: Key
  readonly currency: string
  readonly balance: number
  readonly captures: number
}

/** One offence against a promise. */
export interface Finding {
  /** `tenant/order` wherever an order is to blame. */
  readonly subject: string
  readonly why: string
}

/** What a service's role can see, and what the tables forbid. */
export interface Visibility {
  /** False where the audit's role may not look as the service's role does. */
  readonly probed: boolean
  readonly findings: readonly Finding[]
}

export interface Snapshot {
  readonly orders: ReadonlyMap<Key, Order>
  /** Absent without the history trigger. */
  readonly history: ReadonlyMap<Key, readonly HistoryStep[]> | undefined
  readonly announcements: readonly Announcement[]
  /** Tenants whose events are not numbered 1, 2, 3 … */
  readonly gaps: readonly Finding[]
  readonly payments: ReadonlyMap<Key, Payment>
  readonly refunds: readonly Refund[]
  readonly accounts: readonly Account[]
  readonly reservations: ReadonlyMap<Key, number>
  readonly skus: number
  readonly stock: readonly Finding[]
  readonly visibility: Visibility
}

export interface LedgerEntry {
  readonly id: string
  readonly idempotency_key: string
  readonly merchant_reference: string
  readonly amount: number
  readonly currency: string
  readonly status: string
}

/** The card processor's own books. */
export interface ProcessorLedger {
  readonly charges: readonly LedgerEntry[]
  readonly refunds: readonly LedgerEntry[]
}

/** Read again after everything else: what was not there yet when its snapshot was taken. */
export interface LateRows {
  readonly orders: ReadonlySet<Key>
  readonly payments: ReadonlySet<Key>
  readonly refundKeys: ReadonlySet<string>
}

export interface Ack {
  readonly key: Key
  readonly fp: string
  readonly amount: number | undefined
}

export interface Answer {
  readonly idempotencyKey: string
  readonly key: Key
  readonly status: number
  readonly bodySha256: string
}

export interface Gauge {
  readonly url: string
  readonly name: string
  /** The lowest value of several samples: a loop's moment is no leak. */
  readonly lowest: number | undefined
}

export interface Evidence {
  readonly snapshot: Snapshot
  readonly ledger: ProcessorLedger | undefined
  readonly late: LateRows
  /** No processor exists: the outcome of a charge follows from its token. */
  readonly simulated: boolean
  /** No faults and no traffic: nothing is under way. */
  readonly quiescent: boolean
  readonly acks: readonly Ack[] | undefined
  readonly answers: readonly Answer[] | undefined
  readonly gauges: readonly Gauge[] | undefined
  readonly announceLimitMs: number
}

/** An input that is missing, malformed or out of reach; the message is a whole sentence. */
export class InputError extends Error {}
