/** What a comparison stands on: the floor and the textbook place orders right, at the price that is said of them. */
import { randomBytes, randomUUID } from 'node:crypto'
import { stopOnce } from '@oms/chassis/lifecycle'
import type { Server } from '@oms/chassis/server'
import { createTestDatabase, TEST_PASSWORD, type TestDatabase } from '@oms/chassis/testing'
import { migrations as inventoryMigrations } from '@oms/inventory/migrations/migrations.ts'
import { migrations as orderMigrations } from '@oms/order/migrations/migrations.ts'
import { migrations as paymentMigrations } from '@oms/payment/migrations/migrations.ts'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { createFloor, type Floor } from '../floor.ts'
import { nextOrder, SKUS, TENANT, UNIT_PRICE_MINOR } from '../load.ts'
import { createTextbookFloor } from '../textbook/floor.ts'
import { createInventory, inventoryRoutes } from '../textbook/inventory.ts'
import { orderRoutes } from '../textbook/order.ts'
import { createHttpParticipants } from '../textbook/participants.ts'
import { createPayments, paymentRoutes } from '../textbook/payment.ts'
import { createSaga, type Saga } from '../textbook/saga.ts'
import { prepareTextbook, TEXTBOOK_SERVICES, type TextbookService } from '../textbook/schema.ts'
import { createTextbookServer, type Role } from '../textbook/server.ts'
import { createPool } from '../textbook/transaction.ts'
import { createUpstream } from '../textbook/upstream.ts'

/** What is sent to a database while `work` runs: a text or a statement each round trip. */
async function roundTripsOf(work: () => Promise<unknown>): Promise<readonly unknown[]> {
  const query = vi.spyOn(pg.Client.prototype, 'query')
  try {
    await work()
    return query.mock.calls.map(([sent]) => sent)
  } finally {
    query.mockRestore()
  }
}

describe('the floor', () => {
  let databases: Readonly<Record<'order' | 'payment' | 'inventory', TestDatabase>>
  let floor: Floor

  beforeAll(async () => {
    const [order, payment, inventory] = await Promise.all([
      createTestDatabase('oms_order', orderMigrations),
      createTestDatabase('oms_payment', paymentMigrations),
      createTestDatabase('oms_inventory', inventoryMigrations),
    ])
    databases = { order, payment, inventory }
    await order.admin.query(
      "INSERT INTO oms.price (tenant_id, sku, currency, unit_price_minor) SELECT $1, sku, 'EUR', $3 FROM unnest($2::text[]) sku",
      [TENANT, SKUS, UNIT_PRICE_MINOR],
    )
    await inventory.admin.query(
      'INSERT INTO oms.stock (tenant_id, sku, supplied, available) SELECT $1, sku, 1, 1 FROM unnest($2::text[]) sku',
      [TENANT, SKUS],
    )
    floor = createFloor({
      databaseUrl: (service) =>
        databases[service].config.DATABASE_URL.replace('@', `:${TEST_PASSWORD}@`),
    })
  })

  afterAll(async () => {
    await floor.close()
    await Promise.all(Object.values(databases).map((database) => database.drop()))
  })

  test('confirms, pays and reserves an order in 4 round trips', async () => {
    const order = nextOrder()
    const trips = await roundTripsOf(async () => expect(await floor.place(order)).toBe(true))
    expect(trips).toHaveLength(4)
    const stateOf = async (database: TestDatabase, table: string): Promise<unknown> =>
      (await database.admin.query(`SELECT state FROM oms.${table}`)).rows
    expect(await stateOf(databases.order, 'orders')).toEqual([{ state: 100 }])
    expect(await stateOf(databases.payment, 'payment')).toEqual([{ state: 2 }])
    expect(await stateOf(databases.inventory, 'reservation')).toEqual([{ state: 1 }])
  })
})

describe('the textbook saga', () => {
  const suffix = randomBytes(5).toString('hex')
  const databaseOf = (service: TextbookService): string => `textbook_${service}_${suffix}`
  const superuserUrl = (database: string): string => `${inject('postgresUrl')}/${database}`
  const closing: (() => Promise<unknown>)[] = []
  const pools = {} as Record<TextbookService, pg.Pool>
  let saga: Saga
  let floor: Floor
  let orderServer: Server

  beforeAll(async () => {
    const catalogue = { tenant: TENANT, skus: ['CUP'], unitPriceMinor: 1250, supplied: 4 }
    const databases = await prepareTextbook(superuserUrl, TEST_PASSWORD, catalogue, databaseOf)
    for (const service of TEXTBOOK_SERVICES) {
      pools[service] = createPool(databases.url(service))
      closing.push(() => pools[service].end())
    }
    const create = (role: Role): Server => {
      const server = createTextbookServer(role, {
        DEPLOYMENT: 'local',
        LOG_LEVEL: 'silent',
        DATABASE_URL: databases.url(role),
      })
      closing.unshift(stopOnce(server, 0))
      return server
    }
    const inventory = create('inventory')
    inventoryRoutes(inventory, createInventory(pools.inventory))
    const payment = create('payment')
    paymentRoutes(payment, createPayments(pools.payment, undefined))
    orderServer = create('order')
    const upstream = async (role: Role, server: Server) =>
      createUpstream(orderServer, role, await server.listen({ host: '127.0.0.1', port: 0 }), true)
    saga = createSaga(
      pools.order,
      createHttpParticipants(
        await upstream('inventory', inventory),
        await upstream('payment', payment),
      ),
    )
    orderRoutes(orderServer, saga)
    floor = createTextbookFloor({ databaseUrl: databases.url })
    closing.unshift(floor.close)
  })

  afterAll(async () => {
    for (const close of closing) await close()
    const admin = new pg.Client(superuserUrl('postgres'))
    await admin.connect()
    for (const service of TEXTBOOK_SERVICES)
      await admin.query(`DROP DATABASE ${databaseOf(service)} WITH (FORCE)`)
    await admin.end()
  })

  async function place({ quantity = 1, token = 'pm_approve0001', key = randomUUID() } = {}) {
    const answer = await orderServer.inject({
      method: 'POST',
      url: '/api/v1/orders',
      headers: { 'x-tenant-id': TENANT, 'idempotency-key': key },
      payload: { currency: 'EUR', lines: [{ sku: 'CUP', quantity }], payment_token: token },
    })
    return { status: answer.statusCode, body: answer.json() }
  }

  const stock = async (): Promise<unknown> =>
    (await pools.inventory.query('SELECT available, reserved, sold FROM oms.stock')).rows[0]

  // In order: they share one stock of four.
  test('confirms an order in 28 round trips, 8 of them commits', async () => {
    const key = randomUUID()
    const trips = await roundTripsOf(async () => {
      expect(await place({ key })).toMatchObject({
        status: 201,
        body: { state: 'confirmed', amount_minor: 1250 },
      })
    })
    expect(trips).toHaveLength(28)
    expect(trips.filter((sent) => sent === 'COMMIT')).toHaveLength(8)
    expect(await place({ key })).toMatchObject({ status: 201, body: { order_id: key } })
    expect(await stock()).toEqual({ available: '3', reserved: '1', sold: '0' })
    const { rows } = await pools.payment.query(
      'SELECT state FROM oms.payment JOIN oms.ledger USING (order_id)',
    )
    expect(rows).toEqual([{ state: 'captured' }])
  })

  test('takes as many without its services', async () => {
    const lines = [{ sku: 'CUP', quantity: 1 }]
    const order = { ...nextOrder(), lines }
    const trips = await roundTripsOf(async () => expect(await floor.place(order)).toBe(true))
    expect(trips).toHaveLength(28)
    expect(trips.filter((sent) => sent === 'COMMIT')).toHaveLength(8)
    const { rows } = await pools.payment.query(
      'SELECT state FROM oms.payment JOIN oms.ledger USING (order_id) WHERE order_id = $1',
      [order.orderId],
    )
    expect(rows).toEqual([{ state: 'captured' }])
  })

  test('gives the stock of a declined order back', async () => {
    expect(await place({ token: 'pm_decline0001' })).toMatchObject({
      status: 402,
      body: { state: 'declined' },
    })
    expect(await stock()).toEqual({ available: '2', reserved: '2', sold: '0' })
  })

  test('rejects what is out of stock', async () => {
    expect(await place({ quantity: 3 })).toMatchObject({
      status: 409,
      body: { state: 'rejected', reason: 'out_of_stock' },
    })
  })

  test('goes on with an order that stood still', async () => {
    const key = randomUUID()
    const lines = JSON.stringify([{ sku: 'CUP', quantity: 1, unit_price_minor: 1250 }])
    await pools.order.query(
      `INSERT INTO oms.orders (tenant_id, order_id, state, currency, amount_minor, lines, payment_token, updated_at)
       VALUES ($1, $2, 'charging', 'EUR', 1250, $3, 'pm_approve0001', now() - interval '13 s')`,
      [TENANT, key, lines],
    )
    await saga.recover()
    const { rows } = await pools.order.query('SELECT state FROM oms.orders WHERE order_id = $1', [
      key,
    ])
    expect(rows).toEqual([{ state: 'confirmed' }])
  })

  test('sells and announces by its relay', async () => {
    expect(await saga.relay()).toBe(5)
    expect(await saga.relay()).toBe(0)
    expect(await stock()).toEqual({ available: '2', reserved: '0', sold: '2' })
    const { rows } = await pools.order.query('SELECT type FROM oms.order_event ORDER BY seq')
    expect(rows.map(({ type }) => type)).toEqual([
      'order.confirmed',
      'order.confirmed',
      'order.declined',
      'order.rejected',
      'order.confirmed',
    ])
  })
})
