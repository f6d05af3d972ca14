import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openSession, type Service, startService } from './service.ts'

let service: Service

beforeAll(async () => {
  service = await startService()
})

afterAll(async () => {
  await service.stop()
})

const STATES = { held: 1, committed: 2, released: 3, rejected: 9 } as const
type State = keyof typeof STATES

const ALLOWED: Readonly<Record<State, readonly State[]>> = {
  held: ['held', 'committed', 'released'],
  committed: [],
  released: [],
  rejected: [],
}

const names = Object.keys(STATES) as State[]

async function insert(state: State): Promise<string> {
  const order = randomUUID()
  await service.database.admin.query(
    `INSERT INTO oms.reservation (tenant_id, order_id, fp, state, lines, expires_at)
       VALUES ('acme', $1, '\\x00', $2, '[{"sku": "A", "quantity": 1}]', $3)`,
    [order, STATES[state], state === 'held' ? '2030-01-01' : null],
  )
  return order
}

function update(order: string, set: string, values: unknown[] = []): Promise<unknown> {
  return service.database.admin.query(`UPDATE oms.reservation SET ${set} WHERE order_id = $1`, [
    order,
    ...values,
  ])
}

/** Of an existing row to `to`, with the expiry that the CHECK asks for. */
const move = (order: string, to: State): Promise<unknown> =>
  update(order, 'state = $2, expires_at = $3', [STATES[to], to === 'held' ? '2031-01-01' : null])

const pairs = names.flatMap((from) => names.map((to) => [from, to] as const))

describe('the reservation guard', () => {
  test.each(pairs.filter(([from, to]) => ALLOWED[from].includes(to)))(
    'lets %s become %s',
    async (from, to) => {
      const order = await insert(from)
      await move(order, to)
      expect(await service.row(order)).toMatchObject({ state: STATES[to] })
    },
  )

  test.each(pairs.filter(([from, to]) => !ALLOWED[from].includes(to)))(
    'does not let %s become %s',
    async (from, to) => {
      const order = await insert(from)
      await expect(move(order, to)).rejects.toThrow(
        `no transition from ${STATES[from]} to ${STATES[to]}`,
      )
      expect(await service.row(order)).toMatchObject({ state: STATES[from] })
    },
  )

  test.each(['committed', 'released', 'rejected'] as const)(
    'does not let anything of a %s reservation change',
    async (state) => {
      const order = await insert(state)
      await expect(update(order, 'created_at = now()')).rejects.toThrow('no transition')
      await expect(update(order, `unavailable = '["A"]'`)).rejects.toThrow('no transition')
    },
  )

  test.each(['fp = NULL', `fp = '\\x01'`, `lines = '[]'`])(
    'does not let %s happen to a held reservation',
    async (set) => {
      await expect(update(await insert('held'), set)).rejects.toThrow('never change')
    },
  )

  test('does not let fp and lines change on the way to another state', async () => {
    const order = await insert('held')
    await expect(update(order, `state = 2, expires_at = NULL, lines = '[]'`)).rejects.toThrow(
      'never change',
    )
  })

  test('does not let a reservation that was held be short of something', async () => {
    await expect(
      update(await insert('held'), `state = 3, expires_at = NULL, unavailable = '["A"]'`),
    ).rejects.toThrow('no transition')
  })

  test('lets the transaction that inserted a reservation reject it, for nobody saw it held', async () => {
    const session = await openSession(service, 'postgres')
    const order = randomUUID()
    await session.query('BEGIN')
    await session.query(
      `INSERT INTO oms.reservation (tenant_id, order_id, fp, state, expires_at) VALUES ('acme', $1, '\\x00', 1, now())`,
      [order],
    )
    await session.query(
      'UPDATE oms.reservation SET state = 9, expires_at = NULL WHERE order_id = $1',
      [order],
    )
    await session.query('COMMIT')
    session.end()
    expect(await service.row(order)).toMatchObject({ state: 9 })
  })
})

describe('a CHECK', () => {
  const reservation = (columns: string, values: string) =>
    service.database.admin.query(
      `INSERT INTO oms.reservation (tenant_id, order_id, ${columns}) VALUES ('acme', gen_random_uuid(), ${values})`,
    )
  const stock = (supplied: number, available: number, reserved: number, sold: number) =>
    service.database.admin.query(
      `INSERT INTO oms.stock (tenant_id, sku, supplied, available, reserved, sold)
         VALUES ('acme', gen_random_uuid()::text, $1, $2, $3, $4)`,
      [supplied, available, reserved, sold],
    )

  test.each([0, 4, 10, -1])('knows no state %i', async (state) => {
    await expect(reservation('state', `${state}`)).rejects.toThrow('reservation_state_check')
  })

  test.each([
    ['a held reservation that never expires', 'state', '1'],
    ['a committed one that expires', 'state, expires_at', '2, now()'],
    ['a released one that expires', 'state, expires_at', '3, now()'],
    ['a rejected one that expires', 'state, expires_at', '9, now()'],
  ])('refuses %s', async (_what, columns, values) => {
    await expect(reservation(columns, values)).rejects.toThrow('reservation_check')
  })

  test.each([
    ['state', 'state', 'NULL'],
    ['lines', 'state, lines', '3, NULL'],
  ])('is not passed by NULL: %s is NOT NULL', async (column, columns, values) => {
    await expect(reservation(columns, values)).rejects.toThrow(`null value in column "${column}"`)
  })

  test.each([
    ['supplied', [-1, -1, 0, 0]],
    ['available', [0, -1, 1, 0]],
    ['reserved', [0, 1, -1, 0]],
    ['sold', [0, 1, 0, -1]],
  ] as const)('refuses negative %s', async (column, [supplied, available, reserved, sold]) => {
    await expect(stock(supplied, available, reserved, sold)).rejects.toThrow(
      column === 'supplied' ? /stock_(supplied|available)_check/ : `stock_${column}_check`,
    )
  })

  test.each([
    [1, 1, 1, 0],
    [5, 1, 1, 1],
    [0, 1, 0, 0],
  ])('refuses %i supplied of %i available, %i reserved, %i sold', async (...numbers) => {
    await expect(stock(...numbers)).rejects.toThrow('stock_check')
  })

  test('takes what adds up', async () => {
    await expect(stock(6, 1, 2, 3)).resolves.toBeDefined()
  })
})

describe('the service’s role', () => {
  test.each([
    'DELETE FROM oms.reservation',
    'DELETE FROM oms.stock',
    'TRUNCATE oms.stock',
    `UPDATE oms.reservation SET fp = NULL`,
    `UPDATE oms.reservation SET lines = '[]'`,
    `UPDATE oms.reservation SET tenant_id = 'globex'`,
    `UPDATE oms.stock SET tenant_id = 'globex'`,
    'ALTER TABLE oms.stock DISABLE ROW LEVEL SECURITY',
    'ALTER TABLE oms.reservation DISABLE TRIGGER guard',
    'CREATE TABLE oms.mine (id integer)',
    'SET ROLE oms_inventory_sweeper',
    'SET ROLE oms_inventory_owner',
  ])('may not %s', async (statement) => {
    const session = await openSession(service)
    await session.query(`SELECT set_config('oms.tenant', 'acme', false)`)
    await expect(session.query(statement)).rejects.toThrow(/permission denied|must be owner/)
    session.end()
  })

  test('is told ids, ages and counts of other tenants, nothing else', async () => {
    const { rows } = await service.database.admin.query(`
      SELECT p.proname, pg_get_userbyid(p.proowner) AS owner, pg_get_function_result(p.oid) AS result,
             has_function_privilege('public', p.oid, 'EXECUTE') AS public, p.proconfig
        FROM pg_proc p WHERE p.pronamespace = 'oms'::regnamespace AND p.prosecdef ORDER BY 1`)
    const common = {
      owner: 'oms_inventory_sweeper',
      public: false,
      proconfig: ['search_path=oms, pg_temp'],
    }
    expect(rows).toEqual([
      {
        ...common,
        proname: 'claim_expired',
        result: 'TABLE(tenant_id text, order_id uuid, age_seconds double precision)',
      },
      { ...common, proname: 'inventory_gauges', result: 'TABLE(held bigint)' },
    ])
  })

  test('calls one function a change, in autocommit: every one is VOLATILE', async () => {
    const { rows } = await service.database.admin.query(
      `SELECT proname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
        WHERE pronamespace = 'oms'::regnamespace AND lanname = 'plpgsql' AND provolatile <> 'v'`,
    )
    expect(rows).toEqual([])
  })
})
