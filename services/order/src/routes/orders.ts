/** HTTP of orders: what is taken, what is answered. Handlers only translate. */
import type { Server } from '@oms/chassis/server'
import { IDEMPOTENCY_KEY_HEADER, ORDER_HEADER, REPLAYED_HEADER } from '@oms/contracts/headers'
import { fingerprintOf, IDEMPOTENCY_KEY_PATTERN, orderIdOf } from '@oms/contracts/identity'
import { OutOfStock } from '@oms/contracts/inventory'
import { requireUniqueSkus } from '@oms/contracts/lines'
import {
  EmptyBody,
  EventPage,
  IdempotencyKeyMissing,
  IdempotencyKeyReused,
  OrderBody,
  OrderCancelled,
  OrderFinal,
  OrderId,
  OrderPage,
  OrderState,
  PlaceOrderBody,
  ReservationVerdictBody,
  UnknownSku,
} from '@oms/contracts/order'
import { PaymentDeclined } from '@oms/contracts/payment'
import { requireAgreement, requireSameOrder } from '@oms/contracts/request-ids'
import { NotFound } from '@oms/problem/http-problems'
import { Type } from 'typebox'
import type { CancelOrder } from '../domain/cancel-order.ts'
import { isFinal, type Order } from '../domain/order.ts'
import type { PlaceOrder } from '../domain/place-order.ts'
import type { Orders, Outbox } from '../domain/ports.ts'

const closed = { additionalProperties: false } as const
const OrderParams = Type.Object({ orderId: OrderId })
const Limit = Type.Integer({ minimum: 1, maximum: 100, default: 20 })
const Cursor = Type.Optional(Type.String({ maxLength: 200 }))
const OrdersQuery = Type.Object(
  { limit: Limit, cursor: Cursor, state: Type.Optional(OrderState) },
  closed,
)
const EventsQuery = Type.Object(
  {
    after: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 }),
    limit: Limit,
  },
  closed,
)

const place = { body: PlaceOrderBody, response: { 201: OrderBody, 202: OrderBody } }
const list = { querystring: OrdersQuery, response: { 200: OrderPage } }
const events = { querystring: EventsQuery, response: { 200: EventPage } }
const read = { params: OrderParams, response: { 200: OrderBody } }
const cancel = {
  params: OrderParams,
  body: EmptyBody,
  response: { 200: OrderBody, 202: OrderBody },
}
const verdict = {
  params: OrderParams,
  body: EmptyBody,
  response: { 200: ReservationVerdictBody },
}

interface UseCases {
  readonly placeOrder: PlaceOrder
  readonly cancelOrder: CancelOrder
  readonly orders: Orders
  readonly outbox: Outbox
}

interface Quotas {
  readonly TENANT_ORDERS_PER_SECOND: number
  readonly TENANT_CANCELS_PER_SECOND: number
}

export function orderRoutes(
  server: Server,
  { placeOrder, cancelOrder, orders, outbox }: UseCases,
  quotas: Quotas,
): void {
  const placing = {
    quotaPerSecond: quotas.TENANT_ORDERS_PER_SECOND,
    key: '16 to 255 visible ASCII characters; a UUID becomes the order id. Lives as long as its order.',
    problems: [
      IdempotencyKeyMissing,
      UnknownSku,
      PaymentDeclined,
      OutOfStock,
      OrderCancelled,
      IdempotencyKeyReused,
    ],
  }
  const reading = { problems: [NotFound] }
  const cancelling = {
    quotaPerSecond: quotas.TENANT_CANCELS_PER_SECOND,
    problems: [NotFound, OrderFinal],
  }

  server.post('/api/v1/orders', { schema: place, config: placing }, async (request, reply) => {
    const orderId = orderIdOf(request.tenantId, idempotencyKey(request.headers))
    requireSameOrder(orderId, request.headers)
    requireUniqueSkus(orderId, request.body.lines)
    reply.header(ORDER_HEADER, orderId)
    const { order, replayed } = await placeOrder({
      tenantId: request.tenantId,
      orderId,
      fingerprint: fingerprintOf(request.body),
      currency: request.body.currency,
      lines: request.body.lines,
      paymentToken: request.body.payment_token,
    })
    if (replayed) reply.header(REPLAYED_HEADER, 'true')
    refuseEnded(order)
    if (isFinal(order)) return reply.code(201).send(toBody(order))
    return reply.code(202).headers(onItsWay(order)).send(toBody(order))
  })

  server.get('/api/v1/orders', { schema: list }, async (request) => {
    const page = await orders.page(request.tenantId, request.query)
    return { items: page.orders.map(toBody), next_cursor: page.nextCursor }
  })

  server.get('/api/v1/orders/events', { schema: events }, async (request) => {
    const { after, limit } = request.query
    const found = await outbox.events(request.tenantId, after, limit)
    const items = found.map(({ seq, type, orderId, body, createdAt }) => ({
      seq,
      type,
      order_id: orderId,
      body: { state: body.state, currency: body.currency, amount_minor: body.amountMinor },
      created_at: createdAt,
    }))
    return { items, last_seq: found.at(-1)?.seq ?? after }
  })

  server.get(
    '/api/v1/orders/:orderId',
    { schema: read, config: reading },
    async (request, reply) => {
      const key = { tenantId: request.tenantId, orderId: request.params.orderId.toLowerCase() }
      reply.header(ORDER_HEADER, key.orderId)
      const order = await orders.find(key)
      if (order === undefined)
        throw new NotFound(`There is no order ${key.orderId}.`, { order_id: key.orderId })
      return toBody(order)
    },
  )

  server.post(
    '/api/v1/orders/:orderId/cancel',
    { schema: cancel, config: cancelling },
    async (request, reply) => {
      const key = { tenantId: request.tenantId, orderId: request.params.orderId.toLowerCase() }
      requireSameOrder(key.orderId, request.headers)
      reply.header(ORDER_HEADER, key.orderId)
      const order = await cancelOrder(key)
      if (isFinal(order)) return reply.code(200).send(toBody(order))
      return reply.code(202).headers(onItsWay(order)).send(toBody(order))
    },
  )

  server.post(
    '/internal/v1/orders/:orderId/reservation-verdict',
    { schema: verdict },
    async (request, reply) => {
      const key = { tenantId: request.tenantId, orderId: request.params.orderId.toLowerCase() }
      requireAgreement(key.orderId, request.headers)
      reply.header(ORDER_HEADER, key.orderId)
      return { order_id: key.orderId, verdict: await orders.reservationVerdict(key) }
    },
  )
}

/** @throws IdempotencyKeyMissing. Node joins a repeated header with a comma and a space, which the pattern refuses. */
function idempotencyKey(headers: Readonly<Record<string, unknown>>): string {
  const key = headers[IDEMPOTENCY_KEY_HEADER]
  if (typeof key === 'string' && new RegExp(IDEMPOTENCY_KEY_PATTERN).test(key)) return key
  throw new IdempotencyKeyMissing(
    'Send one Idempotency-Key of 16 to 255 visible ASCII characters, a random UUID for example; nothing was done.',
  )
}

function pathOf({ orderId }: Order): string {
  return `/api/v1/orders/${orderId}`
}

function onItsWay(order: Order): Record<string, string> {
  return { location: pathOf(order), 'retry-after': '1' }
}

/** The stored refusals, as pure functions of the row. */
function refuseEnded(order: Order): void {
  const { orderId, state, reason } = order
  const at = { instance: pathOf(order) }
  switch (state) {
    case 'rejected':
      throw new OutOfStock(
        `Order ${orderId} was refused: not enough stock of ${order.unavailableSkus.join(', ')}. Nothing was charged.`,
        { order_id: orderId, unavailable_skus: order.unavailableSkus },
        at,
      )
    case 'declined':
      throw new PaymentDeclined(
        `The payment of order ${orderId} was declined; place a new order, with a new key, with another card.`,
        { order_id: orderId, decline_code: order.declineCode },
        at,
      )
    case 'cancelled':
      throw new OrderCancelled(
        `Order ${orderId} was cancelled (${reason ?? 'no reason kept'}); no money was kept. Place a new order, with a new key.`,
        { order_id: orderId },
        at,
      )
    case 'pending':
    case 'payment_unknown':
    case 'refunding':
    case 'compensating':
    case 'confirmed':
  }
}

function toBody(order: Order): OrderBody {
  return {
    order_id: order.orderId,
    state: order.state,
    reason: order.reason,
    currency: order.currency,
    amount_minor: order.amountMinor,
    lines: order.lines.map(({ sku, quantity, unitPriceMinor }) => ({
      sku,
      quantity,
      unit_price_minor: unitPriceMinor,
    })),
    created_at: order.createdAt,
    finished_at: order.finishedAt,
  }
}
