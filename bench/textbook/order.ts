/**
 * The textbook's order-service. It stands on the chassis, as ours: trace, metrics, log, admission and deadlines are the
 * same on both sides.
 */
import type { Server } from '@oms/chassis/server'
import { IDEMPOTENCY_KEY_HEADER } from '@oms/contracts/headers'
import { orderIdOf } from '@oms/contracts/identity'
import { OrderBody, PlaceOrderBody } from '@oms/contracts/order'
import { Type } from 'typebox'
import { type Final, isFinal, type Order, type Saga } from './saga.ts'

const STATUS_OF = { confirmed: 201, rejected: 409, declined: 402 } as const

const ANSWERS = {
  201: OrderBody,
  202: OrderBody,
  400: Type.Object({ detail: Type.String() }),
  402: OrderBody,
  409: OrderBody,
}

export function orderRoutes(server: Server, saga: Saga): void {
  server.post(
    '/api/v1/orders',
    { schema: { body: PlaceOrderBody, response: ANSWERS } },
    async ({ tenantId, headers, body }, reply) => {
      const orderId = orderIdOf(tenantId, String(headers[IDEMPOTENCY_KEY_HEADER]))
      const order = await saga.place(tenantId, orderId, body)
      if (order === undefined) return reply.code(400).send({ detail: 'A SKU has no price.' })
      return reply.code(isFinal(order) ? STATUS_OF[order.state as Final] : 202).send(toBody(order))
    },
  )
}

function toBody(order: Order): OrderBody {
  return {
    order_id: order.order_id,
    state: isFinal(order) ? (order.state as Final) : 'pending',
    reason: order.reason,
    currency: order.currency,
    amount_minor: Number(order.amount_minor),
    lines: [...order.lines],
    created_at: order.created_at.toISOString(),
    finished_at: isFinal(order) ? order.updated_at.toISOString() : null,
  }
}
