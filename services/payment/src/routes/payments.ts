/** HTTP of payments: what is taken, what is answered. Handlers only translate. */
import type { Server } from '@oms/chassis/server'
import { ORDER_HEADER, REPLAYED_HEADER } from '@oms/contracts/headers'
import { fingerprintOf } from '@oms/contracts/identity'
import {
  EmptyBody,
  IdempotencyKeyMissing,
  IdempotencyKeyReused,
  OrderId,
} from '@oms/contracts/order'
import {
  ChargeBody,
  NotCaptured,
  PaymentBody,
  PaymentDeclined,
  PaymentVoided,
  PaymentWithRefunds,
  RefundBody,
  RefundFailed,
  RefundRequest,
} from '@oms/contracts/payment'
import { requireAgreement, requireSameOrder } from '@oms/contracts/request-ids'
import { NotFound } from '@oms/problem/http-problems'
import { Type } from 'typebox'
import type { ChargePayment } from '../domain/charge-payment.ts'
import type { Payment, Refund } from '../domain/payment.ts'
import type { Payments } from '../domain/ports.ts'
import type { RefundPayment } from '../domain/refund-payment.ts'

const OrderParams = Type.Object({ orderId: OrderId })

const charge = { body: ChargeBody, response: { 201: PaymentBody, 202: PaymentBody } }
const read = { params: OrderParams, response: { 200: PaymentWithRefunds } }
const voiding = {
  params: OrderParams,
  body: EmptyBody,
  response: { 200: PaymentBody, 202: PaymentBody },
}
const refund = {
  params: OrderParams,
  body: RefundRequest,
  response: { 201: RefundBody, 202: RefundBody },
}

const problems = {
  charge: [IdempotencyKeyMissing, PaymentDeclined, PaymentVoided, IdempotencyKeyReused],
  read: [NotFound],
  refund: [IdempotencyKeyMissing, NotFound, NotCaptured, RefundFailed],
}

interface UseCases {
  readonly chargePayment: ChargePayment
  readonly refundPayment: RefundPayment
  readonly payments: Payments
}

export function paymentRoutes(
  server: Server,
  { chargePayment, refundPayment, payments }: UseCases,
): void {
  server.post(
    '/api/v1/payments',
    { schema: charge, config: { key: '{order_id}', problems: problems.charge } },
    async (request, reply) => {
      const { order_id, ...charged } = request.body
      const orderId = order_id.toLowerCase()
      requireSameOrder(orderId, request.headers, orderId)
      reply.header(ORDER_HEADER, orderId)
      const { payment, replayed } = await chargePayment({
        tenantId: request.tenantId,
        orderId,
        amountMinor: charged.amount_minor,
        currency: charged.currency,
        paymentToken: charged.payment_token,
        fingerprint: fingerprintOf(charged),
      })
      if (replayed) reply.header(REPLAYED_HEADER, 'true')
      refuseDeclined(payment)
      return reply.code(payment.state === 'processing' ? 202 : 201).send(toBody(payment))
    },
  )

  server.get(
    '/api/v1/payments/:orderId',
    { schema: read, config: { problems: problems.read } },
    async (request, reply) => {
      const key = { tenantId: request.tenantId, orderId: request.params.orderId.toLowerCase() }
      reply.header(ORDER_HEADER, key.orderId)
      const payment = await payments.find(key)
      if (payment === undefined)
        throw new NotFound(`There is no payment of order ${key.orderId}; that is not a verdict.`)
      return { ...toBody(payment), refunded_minor: payment.refundedMinor }
    },
  )

  server.post('/api/v1/payments/:orderId/void', { schema: voiding }, async (request, reply) => {
    const key = { tenantId: request.tenantId, orderId: request.params.orderId.toLowerCase() }
    requireAgreement(key.orderId, request.headers)
    reply.header(ORDER_HEADER, key.orderId)
    const payment = await payments.void(key)
    return reply.code(payment.state === 'processing' ? 202 : 200).send(toBody(payment))
  })

  server.post(
    '/api/v1/payments/:orderId/refund',
    { schema: refund, config: { key: '{order_id}:r1', problems: problems.refund } },
    async (request, reply) => {
      const key = { tenantId: request.tenantId, orderId: request.params.orderId.toLowerCase() }
      requireSameOrder(key.orderId, request.headers, `${key.orderId}:r${request.body.refund_no}`)
      reply.header(ORDER_HEADER, key.orderId)
      const { refund: latest, replayed } = await refundPayment(key)
      if (replayed) reply.header(REPLAYED_HEADER, 'true')
      if (latest.state === 'failed')
        throw new RefundFailed(
          `The card processor refused refund ${latest.refundNo}; an operator must run retry-refund.`,
          { order_id: key.orderId },
        )
      return reply.code(latest.state === 'processing' ? 202 : 201).send(toRefundBody(latest))
    },
  )
}

/** The stored refusals, as pure functions of the row. */
function refuseDeclined(payment: Payment): void {
  const { orderId, state } = payment
  const at = { instance: `/api/v1/payments/${orderId}` }
  if (state === 'declined')
    throw new PaymentDeclined(
      `The payment of order ${orderId} was declined; place a new order with another card.`,
      { order_id: orderId, decline_code: payment.declineCode },
      at,
    )
  if (state === 'voided')
    throw new PaymentVoided(
      `The payment of order ${orderId} is voided; place a new order.`,
      { order_id: orderId },
      at,
    )
}

function toBody(payment: Payment): PaymentBody {
  return {
    order_id: payment.orderId,
    state: payment.state,
    currency: payment.currency,
    amount_minor: payment.amountMinor,
    psp_ref: payment.pspRef,
    decline_code: payment.declineCode,
    refund_no: payment.refundNo,
    created_at: payment.createdAt,
    decided_at: payment.decidedAt,
  }
}

function toRefundBody({ orderId, refundNo, state, amountMinor }: Refund): RefundBody {
  return { order_id: orderId, refund_no: refundNo, state, amount_minor: amountMinor }
}
