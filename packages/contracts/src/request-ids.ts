/** Every id of an internal request must name the same order, or a caller's mix-up would reach the wrong row. */
import { InvalidRequest } from '@oms/problem/http-problems'
import { IDEMPOTENCY_KEY_HEADER, ORDER_HEADER } from './headers.ts'
import { IdempotencyKeyMissing } from './order.ts'

/**
 * @param key what the Idempotency-Key must be; not asked for where absent.
 * @throws IdempotencyKeyMissing, InvalidRequest
 */
export function requireSameOrder(
  orderId: string,
  headers: Readonly<Record<string, unknown>>,
  key?: string,
): void {
  const about = { order_id: orderId }
  const sentKey = headers[IDEMPOTENCY_KEY_HEADER]
  if (key !== undefined && typeof sentKey !== 'string')
    throw new IdempotencyKeyMissing(`Send Idempotency-Key: ${key}.`, about)
  if (key !== undefined && String(sentKey).toLowerCase() !== key)
    throw new InvalidRequest(`The Idempotency-Key must be ${key}.`, about)
  const sentOrder = headers[ORDER_HEADER]
  if (sentOrder !== undefined && String(sentOrder).toLowerCase() !== orderId)
    throw new InvalidRequest(`${ORDER_HEADER} names another order than the request.`, about)
}

/**
 * `requireSameOrder` where the path names the order: no key is asked for, one that is sent must be the order's id.
 * @throws InvalidRequest
 */
export function requireAgreement(
  orderId: string,
  headers: Readonly<Record<string, unknown>>,
): void {
  const keyed = headers[IDEMPOTENCY_KEY_HEADER] !== undefined
  requireSameOrder(orderId, headers, keyed ? orderId : undefined)
}
