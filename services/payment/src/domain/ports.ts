/** What the domain needs from outside. */
import type { ChargeOutcome, Payment, Refund, RefundOutcome } from './payment.ts'

export interface ChargeCommand {
  readonly tenantId: string
  readonly orderId: string
  readonly amountMinor: number
  readonly currency: string
  readonly paymentToken: string
  /** Hex SHA-256 of amount, currency and token. */
  readonly fingerprint: string
}

/** Whether this call may act on the row: `fresh` and `resumed` hold its lease of 3 s. */
export type ChargeRole = 'fresh' | 'resumed' | 'running' | 'final' | 'conflict'

export type RefundRole = 'fresh' | 'resumed' | 'running' | 'final'

export interface OrderKey {
  readonly tenantId: string
  readonly orderId: string
}

export interface Payments {
  /** Inserts or reads in one statement: the intent is committed before the processor hears of it. */
  start(command: ChargeCommand): Promise<{ readonly role: ChargeRole; readonly payment: Payment }>
  /** Writes verdict and ledger in one statement; returns what stands, whoever wrote it. */
  finish(payment: Payment, outcome: Exclude<ChargeOutcome, { kind: 'unknown' }>): Promise<Payment>
  /** Puts the next pass off: 0.25 s · 2^attempt, at most 5 s, jittered. */
  defer(payment: OrderKey): Promise<void>
  find(key: OrderKey): Promise<Payment | undefined>
  /** The stored payment, or a tombstone that defeats a later charge. */
  void(key: OrderKey): Promise<Payment>
  /** Takes the lease of due charges of all tenants. */
  claimDueCharges(batch: number): Promise<readonly OrderKey[]>
  /** @param retry the operator's next number after a failed one. */
  startRefund(
    key: OrderKey,
    retry: boolean,
  ): Promise<
    | 'not_found'
    | 'not_captured'
    | { readonly role: RefundRole; readonly refund: Refund; readonly payment: Payment }
  >
  finishRefund(
    refund: Refund,
    outcome: Exclude<RefundOutcome, { kind: 'unknown' }>,
  ): Promise<Refund>
  deferRefund(refund: Refund): Promise<void>
  latestRefund(key: OrderKey): Promise<Refund | undefined>
  claimDueRefunds(batch: number): Promise<readonly OrderKey[]>
  /** The tenants that have a payment of this order id; an operator names only the order. */
  tenantsOf(orderId: string): Promise<readonly string[]>
  gauges(): Promise<{ readonly processing: number; readonly stuck: number }>
}

/** The card processor. */
export interface Gateway {
  charge(payment: Payment): Promise<ChargeOutcome>
  refund(payment: Payment, refund: Refund): Promise<RefundOutcome>
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
  warn(fields: Readonly<Record<string, unknown>>, message: string): void
  error(fields: Readonly<Record<string, unknown>>, message: string): void
  info(fields: Readonly<Record<string, unknown>>, message: string): void
}
