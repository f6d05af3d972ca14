/** What the database itself promises, whatever a program does. */
import { randomBytes, randomUUID } from 'node:crypto'
import { createTestDatabase, type TestDatabase } from '@oms/chassis/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { migrations } from '../migrations/migrations.ts'

type Pool = TestDatabase['admin']

let database: TestDatabase
/** As the service's own role. */
let service: Pool

beforeAll(async () => {
  database = await createTestDatabase('oms_payment', migrations)
  service = database.asService(12)
})

afterAll(async () => {
  await service.end()
  await database.drop()
})

const fp = (word = 'a') => Buffer.from(word.padEnd(32, '.'))

const begin = (order: string, { tenant = 'acme', word = 'a', pool = service } = {}) =>
  call(pool, 'begin_charge', [
    tenant,
    order,
    fp(word),
    1999,
    'EUR',
    'pm_approve0001',
    `oms:local:${tenant}:${order}:c1`,
  ])

async function call(pool: Pick<Pool, 'query'>, name: string, values: readonly unknown[]) {
  const places = values.map((_, i) => `$${i + 1}`).join(', ')
  const { rows } = await pool.query(`SELECT * FROM oms.${name}(${places})`, [...values])
  return rows[0]
}

const finish = (
  order: string,
  how: string,
  ref: string | null = 'ch_1',
  code: string | null = null,
) => call(service, 'finish_charge', ['acme', order, how, ref, code])

const admin = (text: string, values: readonly unknown[] = []) =>
  database.admin.query(text, [...values])

const set = (order: string, assignments: string) =>
  admin(`UPDATE oms.payment SET ${assignments} WHERE order_id = $1`, [order])

/** An order whose payment stands in `state`, made by the service's own functions. */
async function inState(state: number): Promise<string> {
  const order = randomUUID()
  if (state === 4) await call(service, 'void_payment', ['acme', order])
  else {
    await begin(order)
    if (state === 2) await finish(order, 'captured')
    if (state === 3) await finish(order, 'declined', 'ch_1', 'card_declined')
  }
  return order
}

/** What a row of each state must look like, for an update that would be right but for the transition. */
const SHAPE: Readonly<Record<number, string>> = {
  1: 'state = 1, next_run_at = now(), decided_at = NULL',
  2: "state = 2, next_run_at = NULL, decided_at = now(), psp_ref = 'ch_2'",
  3: "state = 3, next_run_at = NULL, decided_at = now(), psp_ref = 'ch_2'",
  4: 'state = 4, next_run_at = NULL, decided_at = now()',
}

describe('the guard of a payment', () => {
  test.each([1, 2, 3])('lets a processing one become %i', async (to) => {
    const order = await inState(1)
    await set(order, SHAPE[to] as string)
  })

  const forbidden = [1, 2, 3, 4].flatMap((from) =>
    [1, 2, 3, 4].filter((to) => from !== 1 || to === 4).map((to) => [from, to] as const),
  )

  test.each(forbidden)('refuses %i → %i', async (from, to) => {
    const order = await inState(from)
    await expect(set(order, SHAPE[to] as string)).rejects.toThrow(/no transition from/)
  })

  test.each([1, 2, 3, 4])('lets nobody change what was asked for, in state %i', async (state) => {
    const order = await inState(state)
    for (const change of ["fp = '\\x00'", 'amount_minor = amount_minor + 1', "currency = 'USD'"])
      await expect(set(order, change)).rejects.toThrow(/never change/)
  })

  test.each([
    "psp_ref = 'ch_2'",
    "decline_code = 'x'",
    'decided_at = now()',
    'attempt = attempt + 1',
    "payment_token = 'pm_again00001'",
    "psp_key = 'other'",
    "created_at = now() + interval '1 s'",
  ])('lets nobody touch a verdict: %s', async (change) => {
    await expect(set(await inState(2), change)).rejects.toThrow(/no transition/)
  })

  test.each([3, 4])(
    'lets nobody write to one that ended as %i, not even what it says',
    async (state) => {
      await expect(set(await inState(state), 'attempt = attempt')).rejects.toThrow(/no transition/)
    },
  )

  test('lets a captured one be refunded, and no other', async () => {
    await set(await inState(2), 'refunded_minor = amount_minor')
    await expect(set(await inState(3), 'refunded_minor = amount_minor')).rejects.toThrow()
    await expect(set(await inState(1), 'refunded_minor = amount_minor')).rejects.toThrow()
  })
})

describe('the guard of a refund', () => {
  async function refund(state: number): Promise<string> {
    const order = await inState(2)
    await call(service, 'begin_refund', ['acme', order, false])
    if (state !== 1) await call(service, 'finish_refund', ['acme', order, 1, state === 2, 're_1'])
    return order
  }
  const change = (order: string, assignments: string) =>
    admin(`UPDATE oms.refund SET ${assignments} WHERE order_id = $1`, [order])

  test.each([2, 3])('lets nobody touch one that ended as %i', async (state) => {
    const order = await refund(state)
    for (const text of [
      'attempt = 9',
      'state = 5 - state',
      'state = 1, next_run_at = now(), decided_at = NULL',
    ])
      await expect(change(order, text)).rejects.toThrow(/no transition/)
  })

  test('keeps amount and key of a running one', async () => {
    const order = await refund(1)
    for (const text of ['amount_minor = 1', "psp_key = 'x'"])
      await expect(change(order, text)).rejects.toThrow(/no transition/)
  })
})

describe('a CHECK refuses', () => {
  const good = {
    tenant_id: 'acme',
    order_id: '',
    fp: "'\\x01'",
    state: '1',
    amount_minor: '1',
    currency: "'EUR'",
    psp_key: "'k'",
    psp_ref: 'NULL',
    refunded_minor: '0',
    next_run_at: 'now()',
    decided_at: 'NULL',
  }
  const decided = { next_run_at: 'NULL', decided_at: 'now()' }

  const insert = (fields: Partial<typeof good>) => {
    const row = { ...good, ...fields, tenant_id: "'acme'", order_id: `'${randomUUID()}'` }
    return admin(`INSERT INTO oms.payment (${Object.keys(row)}) VALUES (${Object.values(row)})`)
  }

  test.each<[string, Partial<typeof good>]>([
    ['processing', {}],
    ['captured', { state: '2', psp_ref: "'ch'", ...decided }],
    ['declined', { state: '3', ...decided }],
    ['voided', { state: '4', fp: 'NULL', amount_minor: '0', currency: "''", ...decided }],
    ['refunded', { state: '2', psp_ref: "'ch'", refunded_minor: '1', ...decided }],
  ])('not a row that is right: %s', async (_what, fields) => {
    await insert(fields)
  })

  test.each<[string, Partial<typeof good>]>([
    ['an unknown state', { state: '5', ...decided }],
    ['state 0', { state: '0', ...decided }],
    ['a payment without a fingerprint', { fp: 'NULL' }],
    ['a tombstone with a fingerprint', { state: '4', ...decided }],
    ['a charge of nothing', { amount_minor: '0' }],
    ['a negative charge', { amount_minor: '-1' }],
    ['a charge without a currency', { currency: "''" }],
    ['a running payment with a verdict date', { decided_at: 'now()' }],
    ['a verdict without its date', { state: '3', next_run_at: 'NULL' }],
    ['a running payment that nobody will look at', { next_run_at: 'NULL' }],
    ['a verdict that is still due', { state: '3', decided_at: 'now()' }],
    ["a capture without the processor's reference", { state: '2', ...decided }],
    [
      'a refund of more than was paid',
      { state: '2', psp_ref: "'ch'", refunded_minor: '2', ...decided },
    ],
    ['a negative refund', { state: '2', psp_ref: "'ch'", refunded_minor: '-1', ...decided }],
    ['a refund of what was declined', { state: '3', refunded_minor: '1', ...decided }],
  ])('%s', async (_what, fields) => {
    await expect(insert(fields)).rejects.toMatchObject({ code: '23514' })
  })

  test.each([
    'tenant_id',
    'order_id',
    'state',
    'amount_minor',
    'currency',
    'refunded_minor',
    'created_at',
    'attempt',
  ])('and NOT NULL refuses a row without %s: a CHECK passes on NULL', async (column) => {
    const { rows } = await admin(
      "SELECT is_nullable FROM information_schema.columns WHERE table_schema = 'oms' AND table_name = 'payment' AND column_name = $1",
      [column],
    )
    expect(rows).toEqual([{ is_nullable: 'NO' }])
  })

  test.each([
    ['an unknown state', '4, 1, now(), now()'],
    ['an amount of nothing', '1, 0, now(), NULL'],
    ['a running refund with an end', '1, 1, now(), now()'],
    ['an ended refund without a date', '2, 1, NULL, NULL'],
    ['an ended refund that is due', '3, 1, now(), now()'],
    ['a running refund that nobody will look at', '1, 1, NULL, NULL'],
  ])('of a refund: %s', async (_what, values) => {
    const order = await inState(2)
    await expect(
      admin(
        `INSERT INTO oms.refund (tenant_id, order_id, refund_no, psp_key, state, amount_minor, next_run_at, decided_at) VALUES ('acme', $1, 1, 'k', ${values})`,
        [order],
      ),
    ).rejects.toMatchObject({ code: '23514' })
  })

  test('a refund of no payment, and a ledger entry of nothing or written twice', async () => {
    await expect(
      admin(
        "INSERT INTO oms.refund (tenant_id, order_id, refund_no, psp_key, state, amount_minor, next_run_at) VALUES ('acme', $1, 1, 'k', 1, 1, now())",
        [randomUUID()],
      ),
    ).rejects.toMatchObject({ code: '23503' })
    const entry = (order: string, amount: number) =>
      admin(
        "INSERT INTO oms.ledger (tenant_id, order_id, entry, debit, credit, currency, amount_minor) VALUES ('acme', $1, 0, 'psp', 'sales', 'EUR', $2)",
        [order, amount],
      )
    const order = randomUUID()
    await expect(entry(order, 0)).rejects.toMatchObject({ code: '23514' })
    await entry(order, 1)
    await expect(entry(order, 1)).rejects.toMatchObject({ code: '23505' })
  })
})

describe('begin_charge', () => {
  test('called 240 times at once, over many connections, lets one act and answers everyone', async () => {
    for (let round = 0; round < 4; round++) {
      const order = randomUUID()
      const answers = await Promise.all(Array.from({ length: 60 }, () => begin(order)))
      expect(answers.filter((answer) => answer?.entity?.order_id !== order)).toEqual([])
      const roles = answers.map(({ role }) => role).sort()
      expect(roles.filter((role) => role === 'fresh')).toHaveLength(1)
      expect(roles.filter((role) => role === 'running')).toHaveLength(59)
    }
  })

  test('called at once for one expired lease lets one resume', async () => {
    const order = await inState(1)
    await set(order, "next_run_at = now() - interval '1 s'")
    const answers = await Promise.all(Array.from({ length: 40 }, () => begin(order)))
    expect(answers.filter(({ role }) => role === 'resumed')).toHaveLength(1)
    expect(answers.filter(({ role }) => role === 'running')).toHaveLength(39)
  })

  test('called at once with voids gives one verdict: charge or tombstone, never both', async () => {
    const seen = new Set<string>()
    for (let round = 0; round < 30; round++) {
      const order = randomUUID()
      const [charge, voided] = await Promise.all([
        begin(order),
        call(service, 'void_payment', ['acme', order]),
      ])
      seen.add(charge.role)
      expect([charge.role, charge.entity.state, voided.entity.state]).toEqual(
        charge.role === 'fresh' ? ['fresh', 1, 1] : ['final', 4, 4],
      )
    }
    expect(seen.size).toBeGreaterThan(0)
  })

  test('leases for 3 s of the database’s clock', async () => {
    const order = randomUUID()
    await begin(order)
    const { rows } = await admin(
      'SELECT extract(epoch FROM next_run_at - created_at)::float AS lease FROM oms.payment WHERE order_id = $1',
      [order],
    )
    expect(rows).toEqual([{ lease: 3 }])
    expect((await begin(order)).role).toBe('running')
  })

  test('changes nothing for another fingerprint, or when it is final', async () => {
    for (const state of [1, 2, 3]) {
      const order = await inState(state)
      const read = async () =>
        (await admin('SELECT *, xmin FROM oms.payment WHERE order_id = $1', [order])).rows
      const before = await read()
      expect((await begin(order, { word: 'b' })).role).toBe('conflict')
      if (state !== 1) expect((await begin(order)).role).toBe('final')
      expect(await read()).toEqual(before)
    }
  })
})

describe('finish_charge', () => {
  test('lets the first verdict stand and books it once', async () => {
    const order = await inState(1)
    const ends = await Promise.all([
      finish(order, 'captured'),
      finish(order, 'declined'),
      finish(order, 'captured', 'ch_2'),
    ])
    expect(ends.filter(({ role }) => role === 'written')).toHaveLength(1)
    expect(new Set(ends.map(({ entity }) => `${entity.state} ${entity.psp_ref}`)).size).toBe(1)
    const { rows } = await admin('SELECT count(*)::int AS n FROM oms.ledger WHERE order_id = $1', [
      order,
    ])
    expect(rows[0].n).toBe(ends[0].entity.state === 2 ? 1 : 0)
  })
})

describe.each([
  ['payment', 'defer_charge', (order: string) => ['acme', order]],
  ['refund', 'defer_refund', (order: string) => ['acme', order, 1]],
] as const)('the pause of a %s without a verdict', (table, name, values) => {
  test('is 0.25 s · 2^attempt ± 50 %, never above 7.5 s, at attempts 0 to 30', async () => {
    const order = await inState(table === 'payment' ? 1 : 2)
    if (table === 'refund') await call(service, 'begin_refund', ['acme', order, false])
    for (let attempt = 0; attempt <= 30; attempt++) {
      const mean = Math.min(5, 0.25 * 2 ** attempt)
      for (let draw = 0; draw < 5; draw++) {
        await admin(`UPDATE oms.${table} SET attempt = $2 WHERE order_id = $1`, [order, attempt])
        await call(service, name, values(order))
        const { rows } = await admin(
          `SELECT extract(epoch FROM next_run_at - now())::float AS s FROM oms.${table} WHERE order_id = $1`,
          [order],
        )
        // now() of the reading is a little later than that of the writing.
        expect(rows[0].s).toBeLessThanOrEqual(mean * 1.5)
        expect(rows[0].s).toBeGreaterThan(mean * 0.5 - 0.1)
        expect(rows[0].s).toBeLessThanOrEqual(7.5)
      }
    }
  })
})

describe('claims', () => {
  test('take each due row once, over many connections, whatever its tenant', async () => {
    await admin("UPDATE oms.payment SET next_run_at = now() + interval '1 h' WHERE state = 1")
    const orders = Array.from({ length: 40 }, () => randomUUID())
    for (const [i, order] of orders.entries())
      await begin(order, { tenant: i % 2 === 0 ? 'acme' : 'globex' })
    await admin(
      "UPDATE oms.payment SET next_run_at = now() - interval '1 s' WHERE order_id = ANY($1)",
      [orders],
    )
    const claimed: Record<string, unknown>[] = []
    // A claim may come back short where another took what it saw; rows are left for the next, never taken twice.
    for (let round = 0; round < 10 && claimed.length < orders.length; round++) {
      const claims = await Promise.all(
        Array.from({ length: 10 }, () => service.query('SELECT * FROM oms.claim_due_charges(8)')),
      )
      for (const { rows } of claims) claimed.push(...rows)
    }
    expect(claimed.map((row) => row['order_id']).sort()).toEqual([...orders].sort())
    expect(Object.keys(claimed[0] ?? {})).toEqual(['tenant_id', 'order_id'])
  })
})

describe('tenants are kept apart', () => {
  const tables = ['payment', 'refund', 'ledger']

  async function filled(): Promise<string> {
    const order = await inState(2)
    await call(service, 'begin_refund', ['acme', order, false])
    return order
  }

  test.each(tables)('by row security on %s, forced on its owner too', async (table) => {
    await filled()
    const { rows } = await admin(
      'SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = $1::regclass',
      [`oms.${table}`],
    )
    expect(rows).toEqual([{ relrowsecurity: true, relforcerowsecurity: true }])
    const client = await service.connect()
    try {
      await client.query('BEGIN')
      await client.query("SELECT set_config('oms.tenant', 'initech', true)")
      // No condition on the tenant: this layer alone.
      expect((await client.query(`SELECT FROM oms.${table}`)).rowCount).toBe(0)
      await client.query("SELECT set_config('oms.tenant', 'acme', true)")
      expect((await client.query(`SELECT FROM oms.${table}`)).rowCount).toBeGreaterThan(0)
      await client.query('COMMIT')
    } finally {
      client.release()
    }
  })

  test('by row security without a tenant: an error on a fresh session, no rows later', async () => {
    const own = database.asService(1)
    try {
      await expect(own.query('SELECT FROM oms.payment')).rejects.toMatchObject({ code: '42704' })
      await begin(randomUUID(), { pool: own })
      expect((await own.query('SELECT FROM oms.payment')).rowCount).toBe(0)
    } finally {
      await own.end()
    }
  })

  test.each(['INSERT', 'UPDATE'])(
    'by row security against an %s under another tenant',
    async (kind) => {
      const order = await inState(1)
      const client = await service.connect()
      try {
        await client.query('BEGIN')
        await client.query("SELECT set_config('oms.tenant', 'globex', true)")
        if (kind === 'UPDATE') {
          const { rowCount } = await client.query(
            'UPDATE oms.payment SET attempt = 99 WHERE order_id = $1',
            [order],
          )
          expect(rowCount).toBe(0)
        } else {
          await expect(
            client.query(
              "INSERT INTO oms.payment (tenant_id, order_id, state, decided_at) VALUES ('acme', $1, 4, now())",
              [randomUUID()],
            ),
          ).rejects.toMatchObject({ code: '42501' })
        }
      } finally {
        await client.query('ROLLBACK')
        client.release()
      }
    },
  )

  test('by every function’s own condition, with row security off', async () => {
    const order = await filled()
    const superuser = await database.admin.connect()
    try {
      await superuser.query('SET row_security = off')
      expect(await call(superuser, 'load_payment', ['globex', order])).toBeUndefined()
      expect(await call(superuser, 'latest_refund', ['globex', order])).toBeUndefined()
      expect(await call(superuser, 'begin_refund', ['globex', order, false])).toMatchObject({
        role: 'not_found',
      })
      const before = (await admin('SELECT * FROM oms.payment WHERE order_id = $1', [order])).rows
      await call(superuser, 'defer_charge', ['globex', order])
      await call(superuser, 'defer_refund', ['globex', order, 1])
      await call(superuser, 'finish_refund', ['globex', order, 1, true, 're_x'])
      expect((await admin('SELECT * FROM oms.payment WHERE order_id = $1', [order])).rows).toEqual(
        before,
      )
      const { rows } = await admin('SELECT state FROM oms.refund WHERE order_id = $1', [order])
      expect(rows).toEqual([{ state: 1 }])
    } finally {
      superuser.release(true)
    }
  })

  test('by the key: both may have the same order', async () => {
    const order = randomUUID()
    expect((await begin(order, { tenant: 'acme' })).role).toBe('fresh')
    expect((await begin(order, { tenant: 'globex', word: 'b' })).role).toBe('fresh')
    for (const table of tables) {
      const { rows } = await admin(
        `SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
          WHERE i.indrelid = $1::regclass AND i.indisprimary`,
        [`oms.${table}`],
      )
      expect(rows).toEqual([{ attname: 'tenant_id' }])
    }
  })

  test('and no tenant outlives its statement', async () => {
    const own = database.asService(1)
    try {
      await begin(randomUUID(), { pool: own })
      const { rows } = await own.query("SELECT current_setting('oms.tenant', true) AS tenant")
      expect(rows).toEqual([{ tenant: '' }])
    } finally {
      await own.end()
    }
  })
})

describe('the service’s role', () => {
  test.each([
    ['DELETE FROM oms.payment'],
    ['DELETE FROM oms.ledger'],
    ['UPDATE oms.ledger SET amount_minor = 1'],
    ['TRUNCATE oms.payment'],
    ['ALTER TABLE oms.payment DISABLE TRIGGER guard'],
    ['ALTER TABLE oms.payment NO FORCE ROW LEVEL SECURITY'],
    ['DROP FUNCTION oms.guard_payment()'],
    ['CREATE FUNCTION oms.mine() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$'],
    ['SET ROLE oms_payment_sweeper'],
    ['SET ROLE oms_payment_owner'],
  ])('may not %s', async (text) => {
    const client = await service.connect()
    // Without a tenant the planner may fail before rights are looked at.
    await client.query("SELECT set_config('oms.tenant', 'acme', false)")
    const refusal = client.query(text).finally(() => client.release(true))
    await expect(refusal).rejects.toMatchObject({ code: '42501' })
  })

  test('sees across tenants ids and counts only', async () => {
    const { rows } = await admin(`
      SELECT p.proname, pg_get_function_result(p.oid) AS result, p.proconfig
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
       WHERE n.nspname = 'oms' AND p.prosecdef ORDER BY 1`)
    const proconfig = ['search_path=oms, pg_temp']
    expect(rows).toEqual([
      { proname: 'claim_due_charges', result: 'TABLE(tenant_id text, order_id uuid)', proconfig },
      { proname: 'claim_due_refunds', result: 'TABLE(tenant_id text, order_id uuid)', proconfig },
      { proname: 'payment_gauges', result: 'TABLE(processing bigint, stuck bigint)', proconfig },
      { proname: 'tenants_of_payment', result: 'TABLE(tenant_id text)', proconfig },
    ])
  })
})

test('random bytes as a fingerprint are kept as they are', async () => {
  const order = randomUUID()
  const bytes = randomBytes(32)
  await call(service, 'begin_charge', ['acme', order, bytes, 1, 'EUR', 'pm_approve0001', 'k'])
  const { rows } = await admin('SELECT fp FROM oms.payment WHERE order_id = $1', [order])
  expect(rows[0].fp.equals(bytes)).toBe(true)
})

test('a payment is found by its key alone, also where of many nearly none is under way', async () => {
  const client = await database.admin.connect()
  await client.query('BEGIN')
  await client.query(
    `INSERT INTO oms.payment (tenant_id, order_id, fp, state, currency, amount_minor, psp_ref, decided_at)
     SELECT 'acme', gen_random_uuid(), '\\x00', 2, 'EUR', 1, 'ref', now() FROM generate_series(1, 3000)`,
  )
  await client.query('ANALYZE oms.payment')
  // The conditions of finish_charge.
  const { rows } = await client.query(
    `EXPLAIN UPDATE oms.payment SET attempt = 1 WHERE tenant_id = 'acme' AND order_id = '${randomUUID()}' AND state = 1`,
  )
  await client.query('ROLLBACK')
  client.release()
  expect(JSON.stringify(rows)).toContain('Index Scan using payment_pkey')
})
