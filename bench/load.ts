/** Callers in a closed loop: each places its next order when the last one has its end. */
import { randomUUID } from 'node:crypto'
import { IDEMPOTENCY_KEY_HEADER, TENANT_HEADER } from '@oms/contracts/headers'
import { Pool } from 'undici'

export const TENANT = 'bench'
/** Enough SKUs that callers seldom wait for one row of stock: e2e/system/hot-stock.test.ts is about that. */
export const SKUS: readonly string[] = Array.from({ length: 64 }, (_, i) => `BENCH-${i + 1}`)
export const UNIT_PRICE_MINOR = 1250

export interface OrderRequest {
  readonly tenantId: string
  readonly orderId: string
  readonly currency: string
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[]
  readonly paymentToken: string
}

/** Resolves with whether the order is confirmed, `false` where it is accepted or shed and its end comes later. */
export type Place = (order: OrderRequest) => Promise<boolean>

let placed = 0

/** One line, one unit, the next SKU in turn. */
export function nextOrder(): OrderRequest {
  placed++
  return {
    tenantId: TENANT,
    orderId: randomUUID(),
    currency: 'EUR',
    lines: [{ sku: SKUS[placed % SKUS.length] as string, quantity: 1 }],
    paymentToken: 'pm_approve0001',
  }
}

export interface Load {
  /** Confirmed orders a second. */
  readonly perSecond: number
  readonly confirmed: number
  /** Accepted or shed: they have no part in the rate. */
  readonly late: number
}

/** Places orders with `callers` at once for `ms`. */
export async function drive(place: Place, callers: number, ms: number): Promise<Load> {
  const startedAt = performance.now()
  let confirmed = 0
  let late = 0
  async function caller(): Promise<void> {
    while (performance.now() - startedAt < ms) {
      if (await place(nextOrder())) confirmed++
      else late++
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  const seconds = (performance.now() - startedAt) / 1000
  return { perSecond: confirmed / seconds, confirmed, late }
}

/** Placing over HTTP at an order-service, ours or the textbook's. */
export function createHttpPlacing(origin: string): { place: Place; close(): Promise<void> } {
  const pool = new Pool(origin, { connections: 64, pipelining: 1 })
  async function place({ tenantId, orderId, currency, lines, paymentToken }: OrderRequest) {
    const { statusCode, body } = await pool.request({
      method: 'POST',
      path: '/api/v1/orders',
      headers: {
        'content-type': 'application/json',
        [TENANT_HEADER]: tenantId,
        [IDEMPOTENCY_KEY_HEADER]: orderId,
      },
      body: JSON.stringify({ currency, lines, payment_token: paymentToken }),
    })
    const text = await body.text()
    if (statusCode === 201) return true
    if (statusCode === 202 || statusCode === 429) return false
    throw new Error(
      `${origin} answered ${statusCode} to an order that nothing speaks against: ${text}`,
    )
  }
  return { place, close: () => pool.destroy() }
}
