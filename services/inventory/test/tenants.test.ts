/** Three layers keep tenants apart; each is tested where the other two cannot help. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { line, openSession, type Service, startService } from './service.ts'

let service: Service
const globex = { 'x-tenant-id': 'globex' }

beforeAll(async () => {
  service = await startService()
})

afterAll(async () => {
  await service.stop()
})

describe('a tenant', () => {
  test('reserves, releases and settles under an order id that another tenant uses too', async () => {
    const sku = await service.sku(5, 'acme', 'globex')
    const order = randomUUID()
    const ours = await service.reserve(order, [line(sku)])
    const theirs = await service.reserve(order, [line(sku, 2)], globex)
    expect([ours.statusCode, theirs.statusCode]).toEqual([201, 201])
    expect(theirs.headers['idempotent-replayed']).toBeUndefined()
    await service.post(`/api/v1/reservations/${order}/release`, {}, globex)
    await service.post('/api/v1/reservations/settle', { order_ids: [order] })
    expect(await service.level(sku)).toEqual({ available: 4, reserved: 0, sold: 1 })
    expect(await service.level(sku, 'globex')).toEqual({ available: 5, reserved: 0, sold: 0 })
  })

  test('cannot tell another’s reservation from none', async () => {
    const sku = await service.sku(5)
    const order = randomUUID()
    await service.reserve(order, [line(sku)])
    const read = `/api/v1/reservations/${order}`
    const settle = `${read}/settle`
    const foreign = [await service.get(read, globex), await service.post(settle, {}, globex)]
    const never = randomUUID()
    const missing = [
      await service.get(read.replace(order, never), globex),
      await service.post(settle.replace(order, never), {}, globex),
    ]
    expect(foreign.map(({ statusCode }) => statusCode)).toEqual([404, 404])
    expect(foreign.map(({ body }) => body.replaceAll(order, never))).toEqual(
      missing.map(({ body }) => body),
    )
    const batch = await service.post('/api/v1/reservations/settle', { order_ids: [order] }, globex)
    expect(batch.json()).toEqual({ items: [] })
    expect(await service.row(order)).toMatchObject({ state: 1 })
  })

  test('releases nothing of another’s: its tombstone is its own', async () => {
    const sku = await service.sku(5)
    const order = randomUUID()
    await service.reserve(order, [line(sku)])
    const release = await service.post(`/api/v1/reservations/${order}/release`, {}, globex)
    expect(release.json()).toEqual({ order_id: order, state: 'released', lines: [] })
    expect(await service.row(order)).toMatchObject({ state: 1 })
    expect(await service.level(sku)).toMatchObject({ reserved: 1 })
  })

  test('reserves from its own stock and sees no other', async () => {
    const sku = await service.sku(5)
    expect((await service.reserve(randomUUID(), [line(sku)], globex)).statusCode).toBe(409)
    const page = await service.get(`/api/v1/stock?sku=${sku}`, globex)
    expect(page.json()).toEqual({ items: [], next_cursor: null })
  })
})

describe('the first layer, the keys alone,', () => {
  const insert = (tenant: string, order: string) =>
    service.database.admin.query(
      'INSERT INTO oms.reservation (tenant_id, order_id, state) VALUES ($1, $2, 3)',
      [tenant, order],
    )

  test('has one reservation per order and tenant', async () => {
    const order = randomUUID()
    await insert('acme', order)
    await insert('globex', order)
    await expect(insert('acme', order)).rejects.toThrow('reservation_pkey')
  })

  test('leads with the tenant everywhere', async () => {
    const { rows } = await service.database.admin.query(`
      SELECT c.relname, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
       WHERE i.indisprimary AND c.relname IN ('stock', 'reservation') ORDER BY 1`)
    expect(rows).toEqual([
      { relname: 'reservation', attname: 'tenant_id' },
      { relname: 'stock', attname: 'tenant_id' },
    ])
  })
})

describe('the second layer, row level security without any filter,', () => {
  const tables = ['stock', 'reservation']

  beforeAll(async () => {
    const sku = await service.sku(5, 'acme', 'globex')
    for (const headers of [{}, globex]) await service.reserve(randomUUID(), [line(sku)], headers)
  })

  test.each(tables)('shows a session its own tenant’s %s', async (table) => {
    const session = await openSession(service)
    await session.query(`SELECT set_config('oms.tenant', 'globex', false)`)
    const { rows } = await session.query(`SELECT DISTINCT tenant_id FROM oms.${table}`)
    expect(rows).toEqual([{ tenant_id: 'globex' }])
    session.end()
  })

  test.each(tables)('refuses a session without a tenant to read %s', async (table) => {
    const session = await openSession(service)
    await expect(session.query(`SELECT FROM oms.${table}`)).rejects.toThrow('oms.tenant')
    session.end()
  })

  test.each(tables)('shows no %s once the statement that named a tenant is over', async (table) => {
    const session = await openSession(service)
    await session.query('SELECT FROM oms.load_reservation($1, $2)', ['acme', randomUUID()])
    expect((await session.query(`SELECT FROM oms.${table}`)).rowCount).toBe(0)
    session.end()
  })

  test('changes nothing of another tenant, and takes no row for it', async () => {
    const session = await openSession(service)
    await session.query(`SELECT set_config('oms.tenant', 'initech', false)`)
    const update = await session.query('UPDATE oms.stock SET available = 0, supplied = 0')
    expect(update.rowCount).toBe(0)
    await expect(
      session.query(
        `INSERT INTO oms.reservation (tenant_id, order_id, state) VALUES ('acme', gen_random_uuid(), 3)`,
      ),
    ).rejects.toThrow('row-level security')
    session.end()
  })

  test('is forced: not even the tables’ owner is exempt', async () => {
    const { rows } = await service.database.admin.query(
      `SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class
        WHERE relnamespace = 'oms'::regnamespace AND relname IN ('stock', 'reservation') ORDER BY 1`,
    )
    const forced = { relrowsecurity: true, relforcerowsecurity: true }
    expect(rows).toEqual([
      { relname: 'reservation', ...forced },
      { relname: 'stock', ...forced },
    ])
    const owner = await openSession(service, 'oms_inventory_owner')
    expect((await owner.query('SELECT FROM oms.stock')).rowCount).toBe(0)
    owner.end()
  })
})

describe('the third layer, the filter of every statement without row level security,', () => {
  // A superuser is not subject to row level security.
  const call = (text: string, values: unknown[]) =>
    service.database.admin.query(`SELECT * FROM oms.${text}`, values)
  const lines = (sku: string) => JSON.stringify([line(sku)])
  const fp = Buffer.from('00', 'hex')

  test('reserve, release and settle touch the stock of their tenant only', async () => {
    const sku = await service.sku(5, 'acme', 'globex')
    const [kept, sold] = [randomUUID(), randomUUID()]
    await call('reserve($1, $2, $3, $4)', ['acme', kept, fp, lines(sku)])
    await call('reserve($1, $2, $3, $4)', ['acme', sold, fp, lines(sku)])
    await call('settle($1, $2)', ['globex', [kept, sold]])
    await call('release($1, $2)', ['globex', kept])
    expect(await service.level(sku)).toEqual({ available: 3, reserved: 2, sold: 0 })
    await call('settle($1, $2)', ['acme', [sold]])
    await call('release($1, $2)', ['acme', kept])
    expect(await service.level(sku)).toEqual({ available: 4, reserved: 0, sold: 1 })
    expect(await service.level(sku, 'globex')).toEqual({ available: 5, reserved: 0, sold: 0 })
  })

  test('settle sells nothing twice because another tenant holds the same order id', async () => {
    const sku = await service.sku(5, 'acme', 'globex')
    const order = randomUUID()
    for (const tenant of ['acme', 'globex'])
      await call('reserve($1, $2, $3, $4)', [tenant, order, fp, lines(sku)])
    await call('reserve($1, $2, $3, $4)', ['acme', randomUUID(), fp, lines(sku)])
    for (const _twice of [1, 2]) await call('settle($1, $2)', ['acme', [order]])
    expect(await service.level(sku)).toEqual({ available: 3, reserved: 1, sold: 1 })
    expect(await service.level(sku, 'globex')).toEqual({ available: 4, reserved: 1, sold: 0 })
  })

  test('reserve judges by the stock of its tenant', async () => {
    const sku = await service.sku(5)
    const { rows } = await call('reserve($1, $2, $3, $4)', ['globex', randomUUID(), fp, lines(sku)])
    expect(rows[0].entity).toMatchObject({ state: 9, unavailable: [sku] })
  })

  test('load, page and supply know their tenant only', async () => {
    const sku = await service.sku(5)
    const order = randomUUID()
    await call('reserve($1, $2, $3, $4)', ['acme', order, fp, lines(sku)])
    expect((await call('load_reservation($1, $2)', ['globex', order])).rowCount).toBe(0)
    expect((await call('stock_page($1, $2, $3, $4)', ['globex', [sku], '', 10])).rowCount).toBe(0)
    await call('set_stock($1, $2, $3)', ['globex', sku, 1])
    expect(await service.level(sku)).toMatchObject({ available: 4 })
    expect(await service.level(sku, 'globex')).toMatchObject({ available: 1 })
  })
})
