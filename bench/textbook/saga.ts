/**
 * The textbook's saga: an orchestrator that writes down the beginning and the end of every step, each in a transaction
 * of its own (H. Garcia-Molina and K. Salem, Sagas, SIGMOD 1987, section 4), with an outbox, a relay and a sweeper. In
 * its favour: its statements bear no spans, its tables no guards, CHECKs and row security.
 */
import type { ReserveBody } from '@oms/contracts/inventory'
import type { PlaceOrderBody } from '@oms/contracts/order'
import type { ChargeBody } from '@oms/contracts/payment'
import type pg from 'pg'
import { inTransaction, type Query, type Statement } from './transaction.ts'

export type Unfinished = 'pending' | 'reserving' | 'reserved' | 'charging' | 'charged' | 'releasing'
export type Final = 'confirmed' | 'rejected' | 'declined'

export interface Order {
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

/** Whom it asks. Each may be repeated. */
export interface Participants {
  /** False: there is not enough. */
  reserve(tenantId: string, body: ReserveBody): Promise<boolean>
  /** False: declined. */
  charge(tenantId: string, body: ChargeBody): Promise<boolean>
  release(tenantId: string, orderId: string): Promise<void>
  settle(tenantId: string, orderIds: readonly string[]): Promise<void>
}

export interface Saga {
  /** The order as far as it goes now; `undefined` where a SKU has no price. */
  place(tenantId: string, orderId: string, body: PlaceOrderBody): Promise<Order | undefined>
  /** One pass over orders that stand still. */
  recover(): Promise<void>
  /** One pass over the outbox; returns how many events there were. */
  relay(): Promise<number>
}

export function createSaga(pool: pg.Pool, participants: Participants): Saga {
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
      const body = { order_id: order.order_id, lines }
      const reserved = await participants.reserve(order.tenant_id, body)
      return reserved ? move(order, 'reserved') : finish(order, 'rejected', 'out_of_stock')
    },
    reserved: (order) => move(order, 'charging'),
    async charging(order) {
      const charged = await participants.charge(order.tenant_id, {
        order_id: order.order_id,
        amount_minor: Number(order.amount_minor),
        currency: order.currency,
        payment_token: order.payment_token,
      })
      return move(order, charged ? 'charged' : 'releasing')
    },
    charged: (order) => finish(order, 'confirmed', null),
    async releasing(order) {
      await participants.release(order.tenant_id, order.order_id)
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

  async function place(tenantId: string, orderId: string, body: PlaceOrderBody) {
    const accepted = await accept(tenantId, orderId, body)
    return accepted?.fresh === true ? drive(accepted.order) : accepted?.order
  }

  async function recover(): Promise<void> {
    const stuck = await inTransaction(pool, (query) => query<Order>(SQL.claimStuck, []))
    await Promise.all(stuck.map(drive))
  }

  async function relay(): Promise<number> {
    const { rows: events } = await pool.query<Event>(SQL.outbox)
    if (events.length === 0) return 0
    const confirmed = events.filter(({ type }) => type === 'order.confirmed')
    for (const [tenantId, ofTenant] of Map.groupBy(confirmed, ({ tenant_id }) => tenant_id))
      await participants.settle(
        tenantId,
        ofTenant.map(({ order_id }) => order_id),
      )
    const ids = events.map(({ id }) => id)
    await inTransaction(pool, async (query) => {
      await query(SQL.publish, [ids])
      await query(SQL.forget, [ids])
    })
    return events.length
  }

  return { place, recover, relay }
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

export function isFinal({ state }: Order): boolean {
  return state === 'confirmed' || state === 'rejected' || state === 'declined'
}
