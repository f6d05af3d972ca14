import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { AcceptCommand } from '../src/domain/ports.ts'
import { createScene, type Scene } from './scene.ts'

let scene: Scene
beforeAll(async () => {
  scene = await createScene()
})
afterAll(() => scene.close())
beforeEach(() => scene.approve())

/** One transaction as the service's role, kept nothing of; `tenant` as a request sets it. */
async function asService<T>(
  tenant: string | undefined,
  work: (
    query: (text: string, values?: readonly unknown[]) => Promise<Record<string, unknown>[]>,
  ) => Promise<T>,
): Promise<T> {
  const client = await scene.admin.connect()
  try {
    await client.query('BEGIN')
    await client.query('SET LOCAL ROLE oms_order')
    if (tenant !== undefined)
      await client.query("SELECT set_config('oms.tenant', $1, true)", [tenant])
    return await work(async (text, values) => (await client.query(text, values as unknown[])).rows)
  } finally {
    await client.query('ROLLBACK')
    client.release(true)
  }
}

const refusal = (work: Promise<unknown>): Promise<string | undefined> =>
  work.then(
    () => undefined,
    (error: { code?: string }) => error.code,
  )

const FORBIDDEN = '42501'
const UNDEFINED_SETTING = '42704'
const EVENT = { state: 'declined', currency: 'EUR', amount_minor: 1 }
const TABLES = ['orders', 'price', 'outbox', 'order_event', 'event_tail'] as const

/** An order, an event in the outbox, an event in the feed and a price of each tenant. */
async function furnish(): Promise<{ readonly mine: string; readonly theirs: string }> {
  const mine = await scene.given()
  const theirs = await scene.given({}, 'globex')
  for (const [tenant, orderId] of [
    ['acme', mine],
    ['globex', theirs],
  ] as const) {
    await scene.admin.query(
      `INSERT INTO oms.outbox (tenant_id, order_id, type, body) VALUES ($1, $2, 'order.declined', $3)`,
      [tenant, orderId, EVENT],
    )
    await scene.admin.query(
      `INSERT INTO oms.order_event (tenant_id, seq, order_id, type, body)
       SELECT $1, coalesce(max(seq), 0) + 1, $2, 'order.declined', $3 FROM oms.order_event WHERE tenant_id = $1`,
      [tenant, orderId, EVENT],
    )
    await scene.admin.query(
      'INSERT INTO oms.event_tail (tenant_id, last_seq) VALUES ($1, 1) ON CONFLICT DO NOTHING',
      [tenant],
    )
  }
  return { mine, theirs }
}

describe('row-level security alone', () => {
  test.each(TABLES)('shows of %s one tenant’s rows', async (table) => {
    await furnish()
    for (const tenant of ['acme', 'globex', 'initech']) {
      const rows = await asService(tenant, (query) => query(`SELECT tenant_id FROM oms.${table}`))
      expect(new Set(rows.map(({ tenant_id }) => tenant_id))).toEqual(
        new Set(tenant === 'initech' ? [] : [tenant]),
      )
    }
  })

  test.each(TABLES)('refuses a fresh session that names no tenant, for %s', async (table) => {
    const code = await refusal(asService(undefined, (query) => query(`SELECT FROM oms.${table}`)))
    expect(code).toBe(UNDEFINED_SETTING)
  })

  test('shows nothing where the tenant was set in an earlier transaction', async () => {
    const client = await scene.admin.connect()
    await client.query('SET ROLE oms_order')
    await client.query("BEGIN; SELECT set_config('oms.tenant', 'acme', true); COMMIT")
    const { rowCount } = await client.query('SELECT FROM oms.orders')
    client.release(true)
    expect(rowCount).toBe(0)
  })

  test('gets its tenant for one statement only: a connection that goes back names none', async () => {
    const { mine } = await furnish()
    const { rows: functions } = await scene.admin.query(
      `SELECT proname AS name, prosrc AS source FROM pg_proc
        WHERE pronamespace = 'oms'::regnamespace AND 'p_t' = ANY(proargnames)`,
    )
    expect(functions.length).toBeGreaterThanOrEqual(13)
    for (const { name, source } of functions)
      expect([name, source]).toEqual([
        name,
        expect.stringMatching(/BEGIN\s+PERFORM set_config\('oms\.tenant', p_t, true\);/),
      ])
    const client = await scene.admin.connect()
    await client.query('SET ROLE oms_order')
    for (const call of ["load_order('acme', $1)", "request_cancel('acme', $1)"]) {
      expect((await client.query(`SELECT FROM oms.${call}`, [mine])).rowCount).toBe(1)
      const { rows } = await client.query("SELECT current_setting('oms.tenant', true) AS tenant")
      expect(rows).toEqual([{ tenant: '' }])
    }
    client.release(true)
  })

  test.each([
    [
      'insert an order',
      "INSERT INTO oms.orders (tenant_id, order_id, state, lines, decide_at, next_run_at) VALUES ('globex', gen_random_uuid(), 10, '[]', now(), now())",
    ],
    [
      'insert a price',
      "INSERT INTO oms.price (tenant_id, sku, currency, unit_price_minor) VALUES ('globex', 'X', 'EUR', 1)",
    ],
    [
      'insert an event',
      "INSERT INTO oms.order_event (tenant_id, seq, order_id, type, body) VALUES ('globex', 99, gen_random_uuid(), 'x', '{}')",
    ],
    ['give an order away', "UPDATE oms.orders SET tenant_id = 'globex' WHERE state = 10"],
  ])('refuses to %s under another tenant', async (_what, statement) => {
    await furnish()
    expect(await refusal(asService('acme', (query) => query(statement)))).toBe(FORBIDDEN)
  })

  test('changes nothing of another tenant, whatever the statement names', async () => {
    const { theirs } = await furnish()
    await asService('acme', async (query) => {
      expect(
        await query('UPDATE oms.orders SET attempt = 9 WHERE order_id = $1 RETURNING 1', [theirs]),
      ).toEqual([])
      expect(
        await query('DELETE FROM oms.outbox WHERE order_id = $1 RETURNING 1', [theirs]),
      ).toEqual([])
    })
  })

  test.each(TABLES)('is forced upon the owner of %s, too', async (table) => {
    const { rows } = await scene.admin.query(
      'SELECT relrowsecurity AS enabled, relforcerowsecurity AS forced FROM pg_class WHERE oid = $1::regclass',
      [`oms.${table}`],
    )
    expect(rows).toEqual([{ enabled: true, forced: true }])
  })

  test('is the rule of every table with a tenant', async () => {
    const { rows } = await scene.admin.query(
      "SELECT table_name FROM information_schema.columns WHERE table_schema = 'oms' AND column_name = 'tenant_id'",
    )
    expect(new Set(rows.map(({ table_name }) => table_name))).toEqual(new Set(TABLES))
  })
})

describe('with row-level security off', () => {
  beforeAll(async () => {
    for (const table of TABLES)
      await scene.admin.query(`ALTER TABLE oms.${table} DISABLE ROW LEVEL SECURITY`)
  })
  afterAll(async () => {
    for (const table of TABLES)
      await scene.admin.query(`ALTER TABLE oms.${table} ENABLE ROW LEVEL SECURITY`)
  })

  test('every query still keeps to its tenant', async () => {
    const { mine, theirs } = await furnish()
    const { orders } = scene.app
    const foreign = { tenantId: 'acme', orderId: theirs }
    expect(await orders.find(foreign)).toBeUndefined()
    expect(await orders.requestCancel(foreign)).toBeUndefined()
    const page = await orders.page('acme', { limit: 100 })
    expect(page.orders.every(({ tenantId }) => tenantId === 'acme')).toBe(true)
    expect(page.orders.map(({ orderId }) => orderId)).toContain(mine)
    const feed = await scene.send('GET', '/api/v1/orders/events?limit=100')
    expect(feed.json().items.map(({ order_id }) => order_id)).not.toContain(theirs)
    for (const read of [await scene.read(theirs), await scene.cancel(theirs)])
      expect(read.statusCode).toBe(404)
  })

  test('every write still keeps to its tenant', async () => {
    const orderId = randomUUID()
    const before = await scene.given({}, 'globex')
    await scene.admin.query('UPDATE oms.orders SET order_id = $1 WHERE order_id = $2', [
      orderId,
      before,
    ])
    const theirs = await scene.row(orderId, 'globex')
    // The same id in this tenant: reserved, charged, confirmed, announced.
    expect((await scene.place(orderId)).statusCode).toBe(201)
    await scene.app.relay()
    expect({ ...(await scene.row(orderId, 'globex')), runs_in: 0 }).toEqual({
      ...theirs,
      runs_in: 0,
    })
    const order = await scene.app.orders.find({ tenantId: 'globex', orderId })
    if (order === undefined) throw new Error('the order of globex is gone')
    const mine = await scene.row(orderId)
    await scene.app.orders.defer(order, { charged: true, soon: false })
    await scene.app.orders.apply(order, 'captured', { answer: 'captured' })
    expect((await scene.row(orderId, 'globex')).state).toBe(100)
    expect(await scene.row(orderId)).toEqual(mine)
  })

  test('prices and numbers of events still are the tenant’s own', async () => {
    const theirs = await scene.place(randomUUID(), { headers: { 'x-tenant-id': 'globex' } })
    expect(theirs.json().amount_minor).toBe(10)
    const mug = {
      currency: 'EUR',
      payment_token: 'pm_approve0001',
      lines: [{ sku: 'MUG', quantity: 1 }],
    }
    const unpriced = await scene.place(randomUUID(), {
      headers: { 'x-tenant-id': 'globex' },
      body: mug,
    })
    expect(unpriced.statusCode).toBe(400)
    await scene.app.orders.setPrice({
      tenantId: 'globex',
      sku: 'BEANS',
      currency: 'EUR',
      unitPriceMinor: 6,
    })
    expect((await scene.place(randomUUID())).json().amount_minor).toBe(3780)
  })
})

describe('the service’s role', () => {
  test.each([
    ['change the feed', "UPDATE oms.order_event SET type = 'x'"],
    ['delete from the feed', 'DELETE FROM oms.order_event'],
    ['empty the feed', 'TRUNCATE oms.order_event'],
    ['delete orders', 'DELETE FROM oms.orders'],
    ['rewrite the outbox', "UPDATE oms.outbox SET type = 'x'"],
    ['alter a table', 'ALTER TABLE oms.orders ADD COLUMN x int'],
    ['switch a guard off', 'ALTER TABLE oms.orders DISABLE TRIGGER guard'],
    ['drop a table', 'DROP TABLE oms.price'],
    ['make a table', 'CREATE TABLE oms.x (y int)'],
    ['make a table in public', 'CREATE TABLE public.x (y int)'],
    ['become the sweeper', 'SET ROLE oms_order_sweeper'],
  ])('may not %s', async (_what, statement) => {
    const client = await scene.admin.connect()
    await client.query('SET SESSION AUTHORIZATION oms_order')
    await client.query("SELECT set_config('oms.tenant', 'acme', false)")
    const code = await refusal(client.query(statement))
    client.release(true)
    expect(code).toBe(FORBIDDEN)
  })

  test('learns of other tenants ids and counts only', async () => {
    const { rows } = await scene.admin.query(
      `SELECT p.proname AS name, pg_get_function_result(p.oid) AS result, p.proconfig AS config
         FROM pg_proc p WHERE p.prosecdef AND p.pronamespace = 'oms'::regnamespace ORDER BY 1`,
    )
    expect(rows).toEqual(
      [
        { name: 'claim_due', result: 'TABLE(tenant_id text, order_id uuid)' },
        { name: 'claim_outbox', result: 'TABLE(tenant_id text, order_id uuid, type text)' },
        {
          name: 'order_ages',
          result:
            'TABLE(oldest_due_seconds double precision, outbox_oldest_seconds double precision)',
        },
        { name: 'return_leases', result: 'void' },
        { name: 'unfinished_orders', result: 'TABLE(state smallint, orders bigint)' },
      ].map((each) => ({ ...each, config: ['search_path=oms, pg_temp'] })),
    )
  })
})

describe('the key of an order', () => {
  test('leads with its tenant: the same id twice, once in each', async () => {
    const orderId = randomUUID()
    const statement = `INSERT INTO oms.orders (tenant_id, order_id, state, lines, decide_at, next_run_at)
      VALUES ($1, $2, 10, '[]', now(), now() + interval '1 min')`
    await scene.admin.query(statement, ['acme', orderId])
    await scene.admin.query(statement, ['globex', orderId])
    expect(await refusal(scene.admin.query(statement, ['acme', orderId]))).toBe('23505')
  })

  const MANY = `INSERT INTO oms.orders (tenant_id, order_id, fp, state, verdict, currency, amount_minor, lines, decide_at, finished_at)
    SELECT 'acme', gen_random_uuid(), '\\x00', 100, 'captured', 'EUR', 1, '[]', now(), now() FROM generate_series(1, 3000)`

  test.each([
    ['of which the planner knows nothing', []],
    ['of whose many orders nearly none is unfinished', [MANY, 'ANALYZE oms.orders']],
  ])('alone finds its row in a table %s', async (_, before) => {
    const client = await scene.admin.connect()
    await client.query('BEGIN')
    for (const statement of before) await client.query(statement)
    // The conditions of apply_verdict. Another index would be read from end to end, the slower the more orders there are.
    const { rows } = await client.query(
      `EXPLAIN UPDATE oms.orders SET state = 30 WHERE tenant_id = 'acme' AND order_id = '${randomUUID()}' AND state IN (10, 30)`,
    )
    await client.query('ROLLBACK')
    client.release()
    expect(JSON.stringify(rows)).toContain('Index Scan using orders_pkey')
  })
})

describe('acceptance', () => {
  test('is never empty and accepts each key once: 480 calls on 8 keys over 24 connections', async () => {
    const apps = [scene.replica({ POOL_SIZE: '12' }), scene.replica({ POOL_SIZE: '12' })]
    for (const app of apps) await scene.warm(app, 12)
    const keys = Array.from({ length: 8 }, () => randomUUID())
    const command = (orderId: string): AcceptCommand => ({
      tenantId: 'acme',
      orderId,
      fingerprint: 'ab'.repeat(32),
      currency: 'EUR',
      lines: [{ sku: 'BEANS', quantity: 1 }],
      paymentToken: 'pm_approve0001',
    })
    const roles: [string, string][] = []
    // Each connection calls without a pause, so that every key is inserted by many at once.
    await Promise.all(
      Array.from({ length: 24 }, async (_, connection) => {
        for (let i = 0; i < 20; i++) {
          const key = keys[Math.floor(i / 2.5)] as string
          const accepted = await apps[connection % 2]?.orders.accept(command(key))
          roles.push([key, accepted?.role ?? 'empty'])
        }
      }),
    )
    expect(roles).toHaveLength(480)
    for (const key of keys) {
      const ofKey = roles.filter(([each]) => each === key).map(([, role]) => role)
      expect(ofKey.toSorted()).toEqual(['fresh', ...Array(ofKey.length - 1).fill('running')])
      expect((await scene.row(key)).attempt).toBe(0)
    }
  })

  test('hands an order whose lease ran out to one of many', async () => {
    await scene.warmBoth()
    const orderId = await scene.given({ fp: 'NULL', next_run_at: 'now()' })
    const roles = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const { orders } = i % 2 === 0 ? scene.app : scene.other()
        const accepted = await orders.accept({
          tenantId: 'acme',
          orderId,
          fingerprint: 'cd'.repeat(32),
          currency: 'EUR',
          lines: [{ sku: 'BEANS', quantity: 1 }],
          paymentToken: 'pm_approve0001',
        })
        return accepted.role
      }),
    )
    expect(roles.toSorted()).toEqual(['resumed', ...Array(19).fill('running')].toSorted())
    expect((await scene.row(orderId)).attempt).toBe(1)
  })
})
