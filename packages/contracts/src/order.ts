/** Schemas and problems of order-service. */
import { defineProblem } from '@oms/problem/problem'
import { type Static, Type } from 'typebox'
import { TENANT_PATTERN } from './headers.ts'
import { UUID_PATTERN } from './identity.ts'
import { Currency } from './money.ts'

const closed = { additionalProperties: false } as const

export const OrderId = Type.String({ pattern: UUID_PATTERN, description: 'UUID of the order.' })

export const Sku = Type.String({ pattern: '^[A-Z][A-Z0-9._-]{0,63}$' })

/** 10⁶ units of one SKU in one order. */
export const Quantity = Type.Integer({ minimum: 1, maximum: 1_000_000 })

export const Line = Type.Object({ sku: Sku, quantity: Quantity }, closed)
export type Line = Static<typeof Line>

/** 1 to 50 lines; the routes refuse a SKU that stands twice. */
export const Lines = Type.Array(Line, { minItems: 1, maxItems: 50 })

export const PaymentToken = Type.String({
  pattern: '^pm_[A-Za-z0-9]{8,64}$',
  description: "The card processor's token; never a card number.",
})

export const PlaceOrderBody = Type.Object(
  { currency: Currency, lines: Lines, payment_token: PaymentToken },
  closed,
)
export type PlaceOrderBody = Static<typeof PlaceOrderBody>

export const ORDER_STATES = [
  'pending',
  'payment_unknown',
  'refunding',
  'compensating',
  'confirmed',
  'rejected',
  'declined',
  'cancelled',
] as const

export const OrderState = Type.Enum([...ORDER_STATES])

export const OrderBody = Type.Object({
  order_id: Type.String(),
  state: OrderState,
  reason: Type.Union([Type.String(), Type.Null()]),
  currency: Type.String(),
  amount_minor: Type.Integer(),
  lines: Type.Array(
    Type.Object({
      sku: Type.String(),
      quantity: Type.Integer(),
      unit_price_minor: Type.Integer(),
    }),
  ),
  created_at: Type.String({ description: 'RFC 3339, UTC, milliseconds.' }),
  finished_at: Type.Union([Type.String(), Type.Null()]),
})
export type OrderBody = Static<typeof OrderBody>

export const OrderPage = Type.Object({
  items: Type.Array(OrderBody),
  next_cursor: Type.Union([Type.String(), Type.Null()]),
})

export const EventPage = Type.Object({
  items: Type.Array(
    Type.Object({
      seq: Type.Integer({ description: 'Without gaps, per tenant, from 1.' }),
      type: Type.String(),
      order_id: Type.String(),
      body: Type.Object({
        state: Type.String(),
        currency: Type.String(),
        amount_minor: Type.Integer(),
      }),
      created_at: Type.String(),
    }),
  ),
  last_seq: Type.Integer({ description: 'Pass as `after` to read on.' }),
})

export const ReservationVerdictBody = Type.Object({
  order_id: Type.String(),
  verdict: Type.Enum(['commit', 'release', 'keep']),
})
export type ReservationVerdictBody = Static<typeof ReservationVerdictBody>

/** One record of the file that `prices FILE` reads. */
export const Price = Type.Object(
  {
    tenant_id: Type.String({ pattern: TENANT_PATTERN }),
    sku: Sku,
    currency: Currency,
    unit_price_minor: Type.Integer({ minimum: 1, maximum: 1_000_000_000 }),
  },
  closed,
)

/** Endpoints whose request has nothing to say take no body or `{}`. */
export const EmptyBody = Type.Optional(Type.Object({}, closed))

export const IdempotencyKeyMissing = defineProblem({
  slug: 'idempotency-key-missing',
  title: 'The Idempotency-Key is missing or malformed',
  status: 400,
})
export const UnknownSku = defineProblem({
  slug: 'unknown-sku',
  title: 'A SKU has no price',
  status: 400,
})
/** draft-ietf-httpapi-idempotency-key-header: another payload under a used key. */
export const IdempotencyKeyReused = defineProblem({
  slug: 'idempotency-key-reuse',
  title: 'The key was used for another request',
  status: 422,
})
export const OrderFinal = defineProblem({
  slug: 'order-final',
  title: 'The order is final',
  status: 409,
  outcome: 'final',
})
export const OrderCancelled = defineProblem({
  slug: 'order-cancelled',
  title: 'The order was cancelled',
  status: 409,
  outcome: 'final',
})
