/** The textbook's inventory-service: reserve, release, settle, each in one transaction, repeatable by order. */
import type { Server } from '@oms/chassis/server'
import { ReservationBody, ReserveBody, SettleBody, SettledPage } from '@oms/contracts/inventory'
import { OrderId } from '@oms/contracts/order'
import type pg from 'pg'
import { Type } from 'typebox'
import { inTransaction, type Query, type Statement } from './transaction.ts'

type Line = ReserveBody['lines'][number]

interface Reservation {
  readonly order_id: string
  readonly state: 'held' | 'committed' | 'released'
  readonly lines: readonly Line[]
}

const SQL = {
  insert: {
    name: 'insert_reservation',
    text: "INSERT INTO oms.reservation VALUES ($1, $2, 'held', $3) ON CONFLICT DO NOTHING RETURNING *",
  },
  take: {
    name: 'take_stock',
    text: `UPDATE oms.stock SET available = available - $3, reserved = reserved + $3
            WHERE tenant_id = $1 AND sku = $2 AND available >= $3 RETURNING sku`,
  },
  giveBack: {
    name: 'give_stock_back',
    text: 'UPDATE oms.stock SET available = available + $3, reserved = reserved - $3 WHERE tenant_id = $1 AND sku = $2',
  },
  sell: {
    name: 'sell_stock',
    text: 'UPDATE oms.stock SET sold = sold + $3, reserved = reserved - $3 WHERE tenant_id = $1 AND sku = $2',
  },
  lock: {
    name: 'lock_reservations',
    text: 'SELECT * FROM oms.reservation WHERE tenant_id = $1 AND order_id = ANY ($2) ORDER BY order_id FOR UPDATE',
  },
  move: {
    name: 'move_reservations',
    text: 'UPDATE oms.reservation SET state = $3 WHERE tenant_id = $1 AND order_id = ANY ($2)',
  },
} satisfies Record<string, Statement>

class OutOfStock extends Error {}

/** Of an order that asks for more than there is. */
export const Refused = Type.Object({ order_id: Type.String(), detail: Type.String() })

export interface Inventory {
  /** @returns what to tell where there is not enough: nothing was reserved. */
  reserve(tenantId: string, body: ReserveBody): Promise<Reservation | string>
  release(tenantId: string, orderId: string): Promise<void>
  settle(tenantId: string, orderIds: readonly string[]): Promise<void>
}

export function createInventory(pool: pg.Pool): Inventory {
  return {
    async reserve(tenantId, { order_id, lines }) {
      try {
        return await inTransaction(pool, (query) => reserve(query, tenantId, order_id, lines))
      } catch (error) {
        if (error instanceof OutOfStock) return error.message
        throw error
      }
    },

    release: (tenantId, orderId) =>
      inTransaction(pool, (query) => end(query, tenantId, [orderId], 'released', SQL.giveBack)),

    settle: (tenantId, orderIds) =>
      inTransaction(pool, (query) => end(query, tenantId, orderIds, 'committed', SQL.sell)),
  }
}

export function inventoryRoutes(server: Server, inventory: Inventory): void {
  server.post(
    '/reservations',
    { schema: { body: ReserveBody, response: { 201: ReservationBody, 409: Refused } } },
    async ({ tenantId, body }, reply) => {
      const reserved = await inventory.reserve(tenantId, body)
      if (typeof reserved === 'string')
        return reply.code(409).send({ order_id: body.order_id, detail: reserved })
      return reply.code(201).send({ ...reserved, lines: [...reserved.lines] })
    },
  )

  server.post(
    '/reservations/:orderId/release',
    { schema: { params: Type.Object({ orderId: OrderId }), response: { 200: SettledPage } } },
    async ({ tenantId, params: { orderId } }) => {
      await inventory.release(tenantId, orderId)
      return { items: [{ order_id: orderId, state: 'released' as const }] }
    },
  )

  server.post(
    '/reservations/settle',
    { schema: { body: SettleBody, response: { 200: SettledPage } } },
    async ({ tenantId, body: { order_ids } }) => {
      await inventory.settle(tenantId, order_ids)
      return { items: order_ids.map((order_id) => ({ order_id, state: 'committed' as const })) }
    },
  )
}

/** @throws OutOfStock nothing was reserved. */
async function reserve(
  query: Query,
  tenantId: string,
  orderId: string,
  lines: readonly Line[],
): Promise<Reservation> {
  const [inserted] = await query<Reservation>(SQL.insert, [
    tenantId,
    orderId,
    JSON.stringify(lines),
  ])
  if (inserted === undefined) {
    const [found] = await query<Reservation>(SQL.lock, [tenantId, [orderId]])
    return found as Reservation
  }
  // Sorted: two orders of the same SKUs must not wait for each other.
  for (const { sku, quantity } of sorted(lines)) {
    const taken = await query(SQL.take, [tenantId, sku, quantity])
    if (taken.length === 0) throw new OutOfStock(`There is not enough of ${sku}.`)
  }
  return inserted
}

/** Ends what is held of these orders; the stock of a batch is summed first, one statement a SKU. */
async function end(
  query: Query,
  tenantId: string,
  orderIds: readonly string[],
  state: 'committed' | 'released',
  stock: Statement,
): Promise<void> {
  const found = await query<Reservation>(SQL.lock, [tenantId, orderIds])
  const held = found.filter((reservation) => reservation.state === 'held')
  if (held.length === 0) return
  const quantities = new Map<string, number>()
  for (const { sku, quantity } of held.flatMap(({ lines }) => lines))
    quantities.set(sku, (quantities.get(sku) ?? 0) + quantity)
  const lines = [...quantities].map(([sku, quantity]) => ({ sku, quantity }))
  for (const { sku, quantity } of sorted(lines)) await query(stock, [tenantId, sku, quantity])
  await query(SQL.move, [tenantId, held.map(({ order_id }) => order_id), state])
}

function sorted(lines: readonly Line[]): readonly Line[] {
  return [...lines].sort((a, b) => (a.sku < b.sku ? -1 : 1))
}
