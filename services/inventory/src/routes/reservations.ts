/** HTTP of reservations: what is taken, what is answered. Handlers only translate. */
import type { Server } from '@oms/chassis/server'
import { ORDER_HEADER, REPLAYED_HEADER } from '@oms/contracts/headers'
import { fingerprintOf } from '@oms/contracts/identity'
import {
  OutOfStock,
  ReservationBody,
  ReservationCommitted,
  ReservationReleased,
  ReservationWithExpiry,
  ReserveBody,
  SettleBody,
  SettledPage,
} from '@oms/contracts/inventory'
import {
  EmptyBody,
  IdempotencyKeyMissing,
  IdempotencyKeyReused,
  OrderId,
} from '@oms/contracts/order'
import { requireAgreement, requireSameOrder } from '@oms/contracts/request-ids'
import { NotFound } from '@oms/problem/http-problems'
import { Type } from 'typebox'
import type { Stock } from '../domain/ports.ts'
import type { ReleaseStock, SettleStock } from '../domain/release-stock.ts'
import type { Reservation } from '../domain/reservation.ts'
import type { ReserveStock } from '../domain/reserve-stock.ts'

const OrderParams = Type.Object({ orderId: OrderId })

const reserve = { body: ReserveBody, response: { 201: ReservationBody } }
const read = { params: OrderParams, response: { 200: ReservationWithExpiry } }
const ending = { params: OrderParams, body: EmptyBody, response: { 200: ReservationBody } }
const settling = { body: SettleBody, response: { 200: SettledPage } }

const problems = {
  reserve: [IdempotencyKeyMissing, OutOfStock, ReservationReleased, IdempotencyKeyReused],
  read: [NotFound],
  release: [ReservationCommitted],
  settle: [NotFound, ReservationReleased],
}

interface UseCases {
  readonly reserveStock: ReserveStock
  readonly releaseStock: ReleaseStock
  readonly settleStock: SettleStock
  readonly stock: Stock
}

export function reservationRoutes(
  server: Server,
  { reserveStock, releaseStock, settleStock, stock }: UseCases,
): void {
  server.post(
    '/api/v1/reservations',
    { schema: reserve, config: { key: '{order_id}', problems: problems.reserve } },
    async (request, reply) => {
      const { order_id, lines } = request.body
      const orderId = order_id.toLowerCase()
      requireSameOrder(orderId, request.headers, orderId)
      reply.header(ORDER_HEADER, orderId)
      const { reservation, replayed } = await reserveStock({
        tenantId: request.tenantId,
        orderId,
        lines,
        fingerprint: fingerprintOf({ lines }),
      })
      if (replayed) reply.header(REPLAYED_HEADER, 'true')
      refuseUnreserved(reservation)
      return reply.code(201).send(toBody(reservation))
    },
  )

  server.get(
    '/api/v1/reservations/:orderId',
    { schema: read, config: { problems: problems.read } },
    async (request, reply) => {
      const key = { tenantId: request.tenantId, orderId: request.params.orderId.toLowerCase() }
      reply.header(ORDER_HEADER, key.orderId)
      const reservation = await stock.find(key)
      if (reservation === undefined)
        throw new NotFound(
          `There is no reservation of order ${key.orderId}; that is not a verdict.`,
          { order_id: key.orderId },
          { instance: `/api/v1/reservations/${key.orderId}` },
        )
      return { ...toBody(reservation), expires_at: reservation.expiresAt }
    },
  )

  server.post(
    '/api/v1/reservations/:orderId/release',
    { schema: ending, config: { problems: problems.release } },
    async (request, reply) => {
      const key = { tenantId: request.tenantId, orderId: request.params.orderId.toLowerCase() }
      requireAgreement(key.orderId, request.headers)
      reply.header(ORDER_HEADER, key.orderId)
      const { reservation, replayed } = await releaseStock(key)
      if (replayed) reply.header(REPLAYED_HEADER, 'true')
      return toBody(reservation)
    },
  )

  server.post(
    '/api/v1/reservations/:orderId/settle',
    { schema: ending, config: { problems: problems.settle } },
    async (request, reply) => {
      const key = { tenantId: request.tenantId, orderId: request.params.orderId.toLowerCase() }
      requireAgreement(key.orderId, request.headers)
      reply.header(ORDER_HEADER, key.orderId)
      const { reservation, replayed } = await settleStock.one(key)
      if (replayed) reply.header(REPLAYED_HEADER, 'true')
      return toBody(reservation)
    },
  )

  // The ids themselves make a batch idempotent; it needs no key.
  server.post('/api/v1/reservations/settle', { schema: settling }, async (request) => {
    const settled = await settleStock.all(request.tenantId, request.body.order_ids)
    return {
      items: settled.map(({ reservation: { orderId, state } }) => ({ order_id: orderId, state })),
    }
  })
}

/** The stored refusals, as pure functions of the row. */
function refuseUnreserved({ orderId, state, unavailableSkus }: Reservation): void {
  const at = { instance: `/api/v1/reservations/${orderId}` }
  if (state === 'rejected')
    throw new OutOfStock(
      `There is not enough stock for order ${orderId}, nothing was reserved; place a new order without ${unavailableSkus?.join(', ')}.`,
      { order_id: orderId, unavailable_skus: unavailableSkus },
      at,
    )
  if (state === 'released')
    throw new ReservationReleased(
      `The reservation of order ${orderId} is released; place a new order.`,
      { order_id: orderId },
      at,
    )
}

function toBody({ orderId, state, lines }: Reservation): ReservationBody {
  return { order_id: orderId, state, lines: [...lines] }
}
