/** Schemas and problems of payment-service. */
import { defineProblem } from '@oms/problem/problem'
import { type Static, Type } from 'typebox'
import { AmountMinor, Currency } from './money.ts'
import { OrderId, PaymentToken } from './order.ts'

const closed = { additionalProperties: false } as const

export const ChargeBody = Type.Object(
  {
    order_id: OrderId,
    amount_minor: AmountMinor,
    currency: Currency,
    payment_token: PaymentToken,
  },
  closed,
)
export type ChargeBody = Static<typeof ChargeBody>

const nullable = Type.Union([Type.String(), Type.Null()])

export const PaymentState = Type.Enum(['processing', 'captured', 'declined', 'voided'])

const payment = {
  order_id: Type.String(),
  state: PaymentState,
  currency: Type.String(),
  amount_minor: Type.Integer(),
  psp_ref: nullable,
  decline_code: nullable,
  refund_no: Type.Integer({
    minimum: 0,
    description: 'Of the latest refund; 0 while nobody has asked for the money back.',
  }),
  created_at: Type.String(),
  decided_at: nullable,
}

export const PaymentBody = Type.Object(payment)
export type PaymentBody = Static<typeof PaymentBody>

/** What GET adds: the rest of the money's story. */
export const PaymentWithRefunds = Type.Object({ ...payment, refunded_minor: Type.Integer() })

export const RefundRequest = Type.Object(
  { refund_no: Type.Integer({ minimum: 1, maximum: 1000 }) },
  closed,
)

export const RefundBody = Type.Object({
  order_id: Type.String(),
  refund_no: Type.Integer(),
  state: Type.Enum(['processing', 'done', 'failed']),
  amount_minor: Type.Integer(),
})
export type RefundBody = Static<typeof RefundBody>

export const PaymentDeclined = defineProblem({
  slug: 'payment-declined',
  title: 'The payment was declined',
  status: 402,
  outcome: 'final',
})
export const PaymentVoided = defineProblem({
  slug: 'payment-voided',
  title: 'The payment was voided',
  status: 409,
  outcome: 'final',
})
export const NotCaptured = defineProblem({
  slug: 'not-captured',
  title: 'The payment was not captured',
  status: 409,
  outcome: 'final',
})
export const RefundFailed = defineProblem({
  slug: 'refund-failed',
  title: 'The card processor refused the refund',
  status: 409,
  outcome: 'final',
})
