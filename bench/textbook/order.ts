/**
 * The textbook's order-service: a saga orchestrator that writes down the beginning and the end of every step, each in
 * a transaction of its own (H. Garcia-Molina and K. Salem, Sagas, SIGMOD 1987, section 4), with an outbox, a relay
 * and a sweeper. It stands on the chassis, as ours: trace, metrics, log, admission and deadlines are the same on both
 * sides. In its favour: its statements bear no spans, its tables no guards, CHECKs and row security.
 */
import type { Server } from '@oms/chassis/server'
import { IDEMPOTENCY_KEY_HEADER, TENANT_HEADER } from '@oms/contracts/headers'
import { orderIdOf } from '@oms/contracts/identity'
import { ReservationBody, SettledPage } from '@oms/contracts/inventory'
import { OrderBody, PlaceOrderBody } from '@oms/contracts/order'
import type pg from 'pg'
import { Type } from 'typebox'
import { Refused } from './inventory.ts'
import { PaymentBody } from './payment.ts'
import { inTransaction, type Query, type Statement } from './transaction.ts'
import { headersOf, type Upstream } from './upstream.ts'

type Unfinished = 'pending' | 'reserving' | 'reserved' | 'charging' | 'charged' | 'releasing'
type Final = 'confirmed' | 'rejected' | 'declined'

interface Order {
  readonly tenant_id: string
  readonly order_id: string
  readonly state: Unfinished | Final
  readonly reason: string | null
  readonly currency: string
  /** bigint, hence text. */
  readonly amount_minor: string
  readonly lines: readonly PricedLine[]
  readonly payment_token: string
  readonly created_at: Date
  readonly updated_at: Date
}

interface PricedLine {
  readonly sku: string
  readonly quantity: number
  readonly unit_price_minor: number
}

const STATUS_OF = { confirmed: 201, rejected: 409, declined: 402 } as const

const ANSWERS = {
  201: OrderBody,
  202: OrderBody,
  400: Type.Object({ detail: Type.String() }),
  402: OrderBody,
  409: OrderBody,
}

const SQL = {
  prices: {
    name: 'prices',
    text: 'SELECT sku, unit_price_minor FROM oms.price WHERE tenant_id = $1 AND currency = $2 AND sku = ANY ($3)',
  },
  insert: {
    name: 'insert_order',
    text: `INSERT INTO oms.orders (tenant_id, order_id, state, currency, amount_minor, lines, payment_token)
           VALUES ($1, $2, 'pending', $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING *`,
  },
  find: {
    name: 'find_order',
    text: 'SELECT * FROM oms.orders WHERE tenant_id = $1 AND order_id = $2',
  },
  move: {
    name: 'move_order',
    text: `UPDATE oms.orders SET state = $4, reason = $5, updated_at = now()
            WHERE tenant_id = $1 AND order_id = $2 AND state = $3 RETURNING *`,
  },
  announce: {
    name: 'announce',
    text: 'INSERT INTO oms.outbox (tenant_id, order_id, type, body) VALUES ($1, $2, $3, $4)',
  },
  claimStuck: {
    name: 'claim_stuck',
    text: `UPDATE oms.orders SET updated_at = now() WHERE (tenant_id, order_id) IN (
             SELECT tenant_id, order_id FROM oms.orders
              WHERE state NOT IN ('confirmed', 'rejected', 'declined') AND updated_at < now() - interval '12 s'
              ORDER BY updated_at LIMIT 16 FOR UPDATE SKIP LOCKED) RETURNING *`,
  },
  outbox: { name: 'outbox', text: 'SELECT * FROM oms.outbox ORDER BY id LIMIT 128' },
  publish: {
    name: 'publish',
    text: `INSERT INTO oms.order_event (tenant_id, order_id, type, body)
           SELECT tenant_id, order_id, type, body FROM oms.outbox WHERE id = ANY ($1) ORDER BY id`,
  },
  forget: { name: 'forget', text: 'DELETE FROM oms.outbox WHERE id = ANY ($1)' },
} satisfies Record<string, Statement>

interface Event {
  readonly id: string
  readonly tenant_id: string
  readonly order_id: string
  readonly type: string
}

export interface OrderLoops {
  /** One pass over orders that stand still. */
  recover(): Promise<void>
  /** One pass over the outbox; returns how many events there were. */
  relay(): Promise<number>
}

export interface OrderDependencies {
  readonly pool: pg.Pool
  readonly inventory: Upstream
  readonly payment: Upstream
}

export function orderRoutes(
  server: Server,
  { pool, inventory, payment }: OrderDependencies,
): OrderLoops {
  /** Writes a step's beginning or end. */
  function move(order: Order, to: Unfinished): Promise<Order> {
    return inTransaction(pool, (query) => moveIn(query, order, to, order.reason))
  }

  function finish(order: Order, to: Final, reason: string | null): Promise<Order> {
    return inTransaction(pool, async (query) => {
      const finished = await moveIn(query, order, to, reason)
      await query(SQL.announce, [
        order.tenant_id,
        order.order_id,
        `order.${to}`,
        { state: to, currency: order.currency, amount_minor: Number(order.amount_minor) },
      ])
      return finished
    })
  }

  const steps: Readonly<Record<Unfinished, (order: Order) => Promise<Order>>> = {
    pending: (order) => move(order, 'reserving'),
    async reserving(order) {
      const lines = order.lines.map(({ sku, quantity }) => ({ sku, quantity }))
      const { status } = await inventory.post({
        path: '/reservations',
        body: { order_id: order.order_id, lines },
        headers: headersOf(order.tenant_id, order.order_id),
        answers: { 201: ReservationBody, 409: Refused },
      })
      if (status === 201) return move(order, 'reserved')
      return finish(order, 'rejected', 'out_of_stock')
    },
    reserved: (order) => move(order, 'charging'),
    async charging(order) {
      const { status } = await payment.post({
        path: '/payments',
        body: {
          order_id: order.order_id,
          amount_minor: Number(order.amount_minor),
          currency: order.currency,
          payment_token: order.payment_token,
        },
        headers: headersOf(order.tenant_id, order.order_id),
        answers: { 201: PaymentBody, 402: PaymentBody },
      })
      return move(order, status === 201 ? 'charged' : 'releasing')
    },
    charged: (order) => finish(order, 'confirmed', null),
    async releasing(order) {
      await inventory.post({
        path: `/reservations/${order.order_id}/release`,
        route: '/reservations/{orderId}/release',
        body: {},
        headers: headersOf(order.tenant_id, order.order_id),
        answers: { 200: SettledPage },
      })
      return finish(order, 'declined', 'payment_declined')
    },
  }

  /** As far as it goes now; what is left is the sweeper's. */
  async function drive(order: Order): Promise<Order> {
    let current = order
    try {
      while (!isFinal(current)) current = await steps[current.state as Unfinished](current)
    } catch {
      // Unknown is not "no": the step is repeated, every participant knows the order again.
    }
    return current
  }

  async function accept(
    tenantId: string,
    orderId: string,
    { currency, lines, payment_token }: PlaceOrderBody,
  ): Promise<{ readonly order: Order; readonly fresh: boolean } | undefined> {
    return inTransaction(pool, async (query) => {
      const skus = lines.map(({ sku }) => sku)
      const prices = await query<{ sku: string; unit_price_minor: string }>(SQL.prices, [
        tenantId,
        currency,
        skus,
      ])
      if (prices.length < lines.length) return undefined
      const priceOf = new Map(prices.map(({ sku, unit_price_minor }) => [sku, +unit_price_minor]))
      const priced = lines.map((line) => ({
        ...line,
        unit_price_minor: priceOf.get(line.sku) ?? 0,
      }))
      const amount = priced.reduce((sum, line) => sum + line.quantity * line.unit_price_minor, 0)
      const [inserted] = await query<Order>(SQL.insert, [
        tenantId,
        orderId,
        currency,
        amount,
        JSON.stringify(priced),
        payment_token,
      ])
      if (inserted !== undefined) return { order: inserted, fresh: true }
      const [found] = await query<Order>(SQL.find, [tenantId, orderId])
      return { order: found as Order, fresh: false }
    })
  }

  server.post(
    '/api/v1/orders',
    { schema: { body: PlaceOrderBody, response: ANSWERS } },
    async (request, reply) => {
      const { tenantId } = request
      const orderId = orderIdOf(tenantId, String(request.headers[IDEMPOTENCY_KEY_HEADER]))
      const accepted = await accept(tenantId, orderId, request.body)
      if (accepted === undefined) return reply.code(400).send({ detail: 'A SKU has no price.' })
      const order = accepted.fresh ? await drive(accepted.order) : accepted.order
      return reply.code(isFinal(order) ? STATUS_OF[order.state as Final] : 202).send(toBody(order))
    },
  )

  async function recover(): Promise<void> {
    const stuck = await inTransaction(pool, (query) => query<Order>(SQL.claimStuck, []))
    await Promise.all(stuck.map(drive))
  }

  async function relay(): Promise<number> {
    const { rows: events } = await pool.query<Event>(SQL.outbox)
    if (events.length === 0) return 0
    const confirmed = events.filter(({ type }) => type === 'order.confirmed')
    for (const [tenantId, ofTenant] of Map.groupBy(confirmed, ({ tenant_id }) => tenant_id)) {
      const ids = ofTenant.map(({ order_id }) => order_id)
      await inventory.post({
        path: '/reservations/settle',
        body: { order_ids: ids },
        headers: { [TENANT_HEADER]: tenantId },
        answers: { 200: SettledPage },
      })
    }
    const ids = events.map(({ id }) => id)
    await inTransaction(pool, async (query) => {
      await query(SQL.publish, [ids])
      await query(SQL.forget, [ids])
    })
    return events.length
  }

  return { recover, relay }
}

/** The order as moved, or as another driver moved it. */
async function moveIn(
  query: Query,
  { tenant_id, order_id, state }: Order,
  to: Unfinished | Final,
  reason: string | null,
): Promise<Order> {
  const [moved] = await query<Order>(SQL.move, [tenant_id, order_id, state, to, reason])
  if (moved === undefined) throw new Error('Another driver was faster.')
  return moved
}

function isFinal({ state }: Order): boolean {
  return state === 'confirmed' || state === 'rejected' || state === 'declined'
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
