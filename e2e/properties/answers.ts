/** What the model's order makes order-service answer. */
import { deepEqual, equal } from 'node:assert/strict'
import type { OrderAnswer } from '../system/client.ts'
import { isFinal, type ModelOrder } from './model.ts'

/** Row → answer: protocol §5. */
export function expectPlaced(
  answer: OrderAnswer,
  order: ModelOrder,
  { replayed }: { readonly replayed: boolean },
): void {
  expectAnswer(answer, order)
  equal(answer.headers['idempotent-replayed'], replayed ? 'true' : undefined, 'idempotent-replayed')
}

export function expectAnswer(answer: OrderAnswer, order: ModelOrder): void {
  equal(answer.headers['x-order-id'], order.orderId)
  if (!isFinal(order)) {
    expectOrder(answer, 202, order)
    equal(answer.headers['location'], `/api/v1/orders/${order.orderId}`)
    return
  }
  order.answer ??= answer.text
  equal(answer.text, order.answer, 'the first final answer, to the byte')
  if (order.state === 'confirmed') expectOrder(answer, 201, order)
  else if (order.state === 'declined') {
    expectProblem(answer, 402, 'payment-declined')
    equal(answer.body['decline_code'], 'card_declined')
  } else if (order.state === 'rejected') {
    expectProblem(answer, 409, 'out-of-stock')
    deepEqual(answer.body['unavailable_skus'], order.unavailable)
  } else expectProblem(answer, 409, 'order-cancelled')
}

export function expectProblem({ status, body }: OrderAnswer, wanted: number, slug: string): void {
  equal(`${status} ${body['type']}`, `${wanted} https://oms.example/problems/${slug}`)
}

export function expectOrder(
  { status, body }: OrderAnswer,
  wanted: number,
  order: ModelOrder,
): void {
  deepEqual({ status, ...withoutTimes(body) }, { status: wanted, ...bodyOf(order) })
}

export function bodyOf({ orderId, state, reason, amount, priced }: ModelOrder): object {
  const lines = priced.map(({ sku, quantity, unitPrice }) => ({
    sku,
    quantity,
    unit_price_minor: unitPrice,
  }))
  return { order_id: orderId, state, reason, currency: 'EUR', amount_minor: amount, lines }
}

export function withoutTimes(body: object): object {
  const { created_at: _created, finished_at: _finished, ...rest } = body as Record<string, unknown>
  return rest
}
