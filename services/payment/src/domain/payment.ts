/** The payment: one per order, ever. Its row is the idempotency record and the work to be done. */

export type PaymentState = 'processing' | 'captured' | 'declined' | 'voided'

export interface Payment {
  readonly tenantId: string
  readonly orderId: string
  readonly state: PaymentState
  /** Minor units; 0 for a tombstone. */
  readonly amountMinor: number
  readonly currency: string
  /** Kept until the verdict only. */
  readonly paymentToken: string | null
  /** The processor's idempotency key; `null` for a tombstone. */
  readonly pspKey: string | null
  readonly pspRef: string | null
  readonly declineCode: string | null
  readonly refundedMinor: number
  /** Of the latest refund, failed or not; 0 for none. */
  readonly refundNo: number
  readonly attempt: number
  /** The processor still knows the key; afterwards it is asked, never sent to again. By the database's clock. */
  readonly keyLives: boolean
  readonly createdAt: string
  readonly decidedAt: string | null
}

export interface Refund {
  readonly tenantId: string
  readonly orderId: string
  readonly refundNo: number
  readonly state: 'processing' | 'done' | 'failed'
  readonly amountMinor: number
  readonly pspKey: string
  readonly attempt: number
  readonly keyLives: boolean
}

/** What the processor said. A 5xx, a timeout or a lost connection is `unknown`, never a decline. */
export type ChargeOutcome =
  | { readonly kind: 'captured'; readonly pspRef: string }
  | { readonly kind: 'declined'; readonly pspRef: string; readonly declineCode: string }
  | { readonly kind: 'unknown' }

export type RefundOutcome =
  | { readonly kind: 'done'; readonly pspRef: string }
  | { readonly kind: 'failed'; readonly pspRef: string }
  | { readonly kind: 'unknown' }

/** How many passes without a verdict call for a person. */
export const ALERT_AFTER_ATTEMPTS = 20

export function isDecided(payment: Payment): boolean {
  return payment.state !== 'processing'
}

/** The charge's key at the processor: made of tenant and order alone, so that a resumed charge cannot charge twice. */
export function chargeKey(deployment: string, tenantId: string, orderId: string): string {
  return `oms:${deployment}:${tenantId}:${orderId}:c1`
}

/** What both keys of an order share: a second capture under another key is seen by it. */
export function merchantReference(pspKey: string): string {
  return pspKey.slice(0, pspKey.lastIndexOf(':'))
}
