/** What the domain needs from outside. */
import type { Order, OrderKey, OrderState } from './order.ts'
import type { Answer, Occurrence } from './transitions.ts'

export interface AcceptCommand {
  readonly tenantId: string
  readonly orderId: string
  /** Hex SHA-256 of the request. */
  readonly fingerprint: string
  readonly currency: string
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[]
  readonly paymentToken: string
}

/** Whether this call may drive the order: `fresh` and `resumed` hold its lease of 12 s. */
export type LeaseRole = 'fresh' | 'resumed' | 'running' | 'final'

export interface Leased {
  readonly role: LeaseRole
  readonly order: Order
}

export type Accepted =
  | Leased
  | { readonly role: 'conflict'; readonly order: Order }
  | { readonly role: 'unknown_sku'; readonly skus: readonly string[] }
  | { readonly role: 'amount_too_large' }

/** What a participant said, with what the order's own answer repeats of it. */
export interface Told {
  readonly answer: Answer
  readonly declineCode?: string | null
  readonly unavailableSkus?: readonly string[]
}

export interface Page {
  readonly orders: readonly Order[]
  /** Opaque; `null` after the last page. */
  readonly nextCursor: string | null
}

export interface PageQuery {
  readonly limit: number
  readonly cursor?: string
  readonly state?: OrderState
}

/** Every method is one statement: one round trip, one commit. */
export interface Orders {
  /** Inserts or reads; prices the lines from this tenant's catalogue. */
  accept(command: AcceptCommand): Promise<Accepted>
  find(key: OrderKey): Promise<Order | undefined>
  /** Writes the transition with its event, or nothing; returns what stands, whoever wrote it. */
  apply(order: Order, on: Exclude<Occurrence, 'no_verdict'>, told: Told): Promise<Order>
  /** Ends a pass without an end of the order: `charged` moves 10 to 30, `soon` means a second, else the backoff. */
  defer(order: Order, how: { readonly charged: boolean; readonly soon: boolean }): Promise<Order>
  /** Sets the flag durably and takes the lease, before anybody sends a void; `undefined` for no such order. */
  requestCancel(key: OrderKey): Promise<Leased | undefined>
  /** Takes the lease of due orders of all tenants. */
  claimDue(batch: number): Promise<readonly OrderKey[]>
  returnLeases(keys: readonly OrderKey[]): Promise<void>
  page(tenantId: string, query: PageQuery): Promise<Page>
  /** What becomes of a reservation that is about to expire; an unknown order gets a tombstone and `keep`. */
  reservationVerdict(key: OrderKey): Promise<'commit' | 'release' | 'keep'>
  setPrice(price: Price): Promise<void>
  gauges(): Promise<Gauges>
}

export interface Price {
  readonly tenantId: string
  readonly sku: string
  readonly currency: string
  readonly unitPriceMinor: number
}

export interface Gauges {
  /** `unknown`: a state that a newer version wrote. */
  readonly unfinished: readonly {
    readonly state: OrderState | 'unknown'
    readonly orders: number
  }[]
  readonly oldestDueSeconds: number
  readonly outboxOldestSeconds: number
}

export interface PendingEvent extends OrderKey {
  readonly type: string
}

export interface OrderEvent {
  /** Without gaps, per tenant, from 1. */
  readonly seq: number
  readonly type: string
  readonly orderId: string
  readonly body: { readonly state: string; readonly currency: string; readonly amountMinor: number }
  readonly createdAt: string
}

export interface Outbox {
  /** Takes events of all tenants for 5 s. */
  claim(batch: number): Promise<readonly PendingEvent[]>
  /** Moves one tenant's events to its feed and numbers them; once, however many publish. */
  publish(tenantId: string, events: readonly PendingEvent[]): Promise<void>
  events(tenantId: string, after: number, limit: number): Promise<readonly OrderEvent[]>
}

export interface Inventory {
  reserve(order: Order): Promise<Told>
  release(order: OrderKey): Promise<Told>
  /** States by order id, of the orders that inventory knows; at most 128 of one tenant. */
  settle(tenantId: string, orderIds: readonly string[]): Promise<ReadonlyMap<string, string>>
}

export interface Payments {
  /** Waits up to 5 s for the verdict of a charge under way. */
  charge(order: Order): Promise<Told>
  void(order: OrderKey): Promise<Told>
  refund(order: OrderKey): Promise<Told>
}

/** Waiting, by the request's deadline. Work goes on after its request was answered. */
export interface Patience {
  /** The result, or `undefined` when the answer is due first. */
  within<T>(key: string, work: () => Promise<T>): Promise<T | undefined>
  /** Re-reads until `done` or until the answer is due; returns the last read. */
  until<T>(key: string, current: T, done: (value: T) => boolean, read: () => Promise<T>): Promise<T>
}

/** An error line calls for a person. */
export interface Log {
  error(fields: Readonly<Record<string, unknown>>, message: string): void
  warn(fields: Readonly<Record<string, unknown>>, message: string): void
  info(fields: Readonly<Record<string, unknown>>, message: string): void
}
