/** The order: its row is the idempotency record and the work queue. */
import type { Command } from './transitions.ts'

/** Codes as stored; 100 and above are final and never change. */
export const STATE_CODES = {
  pending: 10,
  payment_unknown: 30,
  refunding: 35,
  compensating: 40,
  confirmed: 100,
  rejected: 110,
  declined: 120,
  cancelled: 130,
} as const

export type OrderState = keyof typeof STATE_CODES

/** What became of the money. */
export type Verdict = 'none' | 'captured' | 'declined' | 'voided' | 'refunded'

export interface PricedLine {
  readonly sku: string
  readonly quantity: number
  readonly unitPriceMinor: number
}

export interface Order {
  readonly tenantId: string
  readonly orderId: string
  readonly state: OrderState
  readonly verdict: Verdict
  readonly reason: string | null
  readonly declineCode: string | null
  readonly unavailableSkus: readonly string[]
  /** ISO 4217; empty for a tombstone. */
  readonly currency: string
  /** Minor units; 0 for a tombstone. */
  readonly amountMinor: number
  readonly lines: readonly PricedLine[]
  /** Kept until the verdict only. */
  readonly paymentToken: string | null
  readonly cancelRequested: boolean
  /** Past `decide_at` by the database's clock: time to void what has no verdict. */
  readonly due: boolean
  readonly attempt: number
  /** RFC 3339, UTC, milliseconds. */
  readonly createdAt: string
  readonly finishedAt: string | null
}

export interface OrderKey {
  readonly tenantId: string
  readonly orderId: string
}

/** Attempts without an end that call for a person. */
export const ALERT_AFTER_ATTEMPTS = 20

export function isFinal({ state }: Pick<Order, 'state'>): boolean {
  return STATE_CODES[state] >= 100
}

/** What the driver sends next: a pure function of the row; `undefined` for a final one. */
export function nextCommand(
  order: Pick<Order, 'state' | 'due' | 'cancelRequested'>,
): Command | undefined {
  switch (order.state) {
    case 'pending':
      return order.due || order.cancelRequested ? 'void' : 'reserve'
    case 'payment_unknown':
      return order.due || order.cancelRequested ? 'void' : 'charge'
    case 'refunding':
      return 'refund'
    case 'compensating':
      return 'release'
    case 'confirmed':
    case 'rejected':
    case 'declined':
    case 'cancelled':
      return undefined
  }
}
