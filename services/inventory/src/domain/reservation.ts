/** The reservation: one per order, ever. Its row is the idempotency record; `released` and `rejected` are final. */

export type ReservationState = 'held' | 'committed' | 'released' | 'rejected'

export interface Line {
  readonly sku: string
  readonly quantity: number
}

export interface Reservation {
  readonly tenantId: string
  readonly orderId: string
  readonly state: ReservationState
  /** As first sent; none for a tombstone. */
  readonly lines: readonly Line[]
  /** What a rejected one lacked, sorted; else `null`. */
  readonly unavailableSkus: readonly string[] | null
  /** When order-service is asked, RFC 3339; only while held. */
  readonly expiresAt: string | null
}

/** What one SKU of a tenant has become: `available + reserved + sold` is what was supplied. */
export interface StockLevel {
  readonly sku: string
  readonly supplied: number
  readonly available: number
  readonly reserved: number
  readonly sold: number
}

/** 1 h: an order ends within a minute; a reservation this old without a verdict calls for a person. */
export const ALERT_AFTER_SECONDS = 3600
