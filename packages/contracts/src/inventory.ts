/** Schemas and problems of inventory-service. */
import { defineProblem } from '@oms/problem/problem'
import { type Static, Type } from 'typebox'
import { TENANT_PATTERN } from './headers.ts'
import { Lines, OrderId, Sku } from './order.ts'

const closed = { additionalProperties: false } as const

export const ReserveBody = Type.Object({ order_id: OrderId, lines: Lines }, closed)
export type ReserveBody = Static<typeof ReserveBody>

export const ReservationState = Type.Enum(['held', 'committed', 'released', 'rejected'])

const reservation = {
  order_id: Type.String(),
  state: ReservationState,
  lines: Type.Array(Type.Object({ sku: Type.String(), quantity: Type.Integer() })),
}

export const ReservationBody = Type.Object(reservation)
export type ReservationBody = Static<typeof ReservationBody>

export const ReservationWithExpiry = Type.Object({
  ...reservation,
  expires_at: Type.Union([Type.String(), Type.Null()]),
})

/** The most orders that one settle may name. */
export const SETTLE_MAX_ORDERS = 128

export const SettleBody = Type.Object(
  {
    order_ids: Type.Array(OrderId, {
      minItems: 1,
      maxItems: SETTLE_MAX_ORDERS,
      uniqueItems: true,
    }),
  },
  closed,
)

export const SettledPage = Type.Object({
  items: Type.Array(Type.Object({ order_id: Type.String(), state: ReservationState })),
})
export type SettledPage = Static<typeof SettledPage>

export const StockPage = Type.Object({
  items: Type.Array(
    Type.Object({
      sku: Type.String(),
      available: Type.Integer(),
      reserved: Type.Integer(),
      sold: Type.Integer(),
    }),
  ),
  next_cursor: Type.Union([Type.String(), Type.Null()]),
})

/** One record of the file that `stock FILE` reads. */
export const Supply = Type.Object(
  {
    tenant_id: Type.String({ pattern: TENANT_PATTERN }),
    sku: Sku,
    /** 10¹² units: far below 2⁵³, so a JSON number holds every count exactly. */
    supplied: Type.Integer({ minimum: 0, maximum: 1_000_000_000_000 }),
  },
  closed,
)

export const OutOfStock = defineProblem({
  slug: 'out-of-stock',
  title: 'Not enough stock',
  status: 409,
  outcome: 'final',
})
export const ReservationReleased = defineProblem({
  slug: 'reservation-released',
  title: 'The reservation was released',
  status: 409,
  outcome: 'final',
})
export const ReservationCommitted = defineProblem({
  slug: 'reservation-committed',
  title: 'The reservation was committed',
  status: 409,
  outcome: 'final',
})
