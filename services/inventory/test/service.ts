/** An inventory-service on a database of its own, with an order-service whose answers the test chooses. */
import { randomUUID } from 'node:crypto'
import { parseConfig } from '@oms/chassis/config'
import { stopOnce } from '@oms/chassis/lifecycle'
import {
  createTestDatabase,
  createUpstream,
  eventually,
  type TestDatabase,
  type Upstream,
} from '@oms/chassis/testing'
import { migrations } from '../migrations/migrations.ts'
import { buildApp, type InventoryApp } from '../src/app.ts'
import { configSchema } from '../src/config.ts'
import type { Line } from '../src/domain/reservation.ts'

/** What provisioning gives the service's role. */
const STATEMENT_TIMEOUT_MS = 700

export interface Answer {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string
  json(): Record<string, unknown>
}

/** One session of the database. */
interface Session {
  query(
    text: string,
    values?: unknown[],
  ): Promise<{ readonly rows: Record<string, unknown>[]; readonly rowCount: number | null }>
  /** Ends the session, its transaction rolled back. */
  end(): void
}

export interface Service {
  readonly database: TestDatabase
  readonly orders: Upstream
  readonly app: InventoryApp
  /** Error lines of the log. */
  readonly alerts: Record<string, unknown>[]
  /** Open ones; a test that failed did not end its own. */
  readonly sessions: Set<Session>
  post(path: string, payload: object | string, headers?: Record<string, string>): Promise<Answer>
  get(path: string, headers?: Record<string, string>): Promise<Answer>
  reserve(
    orderId: string,
    lines: readonly object[],
    headers?: Record<string, string>,
  ): Promise<Answer>
  /** A SKU nobody else uses, with so much supplied to each tenant. */
  sku(supplied: number, ...tenants: readonly string[]): Promise<string>
  level(sku: string, tenant?: string): Promise<Record<string, number>>
  row(orderId: string, tenant?: string): Promise<Record<string, unknown> | undefined>
  stop(): Promise<void>
}

/** @param callers how many call at once: their connections are opened before, for that takes time. */
export async function startService(
  env: Record<string, string> = {},
  callers = 4,
): Promise<Service> {
  const database = await createTestDatabase('oms_inventory', migrations, {
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  })
  // The database is dropped under sessions that are just ending; what they hear then is no failure of a test.
  database.admin.on('error', () => undefined)
  database.admin.on('connect', (client) => void client.on('error', () => undefined))
  const orders = await createUpstream()
  const alerts: Record<string, unknown>[] = []
  const sessions = new Set<Session>()
  const app = buildApp(
    parseConfig(configSchema, {
      ...database.config,
      DEPLOYMENT: 'local',
      LOG_LEVEL: 'error',
      ORDER_SERVICE_URL: orders.origin,
      ...env,
    }),
    { logStream: { write: (line) => void alerts.push(JSON.parse(line)) } },
  )

  const key = { tenantId: 'acme', orderId: randomUUID() }
  await eventually(`${callers} connections`, async () => {
    const calls = Array.from({ length: callers }, () => app.stock.find(key))
    return (await Promise.allSettled(calls)).every(({ status }) => status === 'fulfilled')
  })

  const post: Service['post'] = (path, payload, headers = {}) =>
    app.server.inject({
      method: 'POST',
      url: path,
      payload,
      headers: { 'x-tenant-id': 'acme', 'content-type': 'application/json', ...headers },
    })

  return {
    database,
    orders,
    app,
    alerts,
    sessions,
    post,
    get: (path, headers = {}) =>
      app.server.inject({
        method: 'GET',
        url: path,
        headers: { 'x-tenant-id': 'acme', ...headers },
      }),
    reserve: (orderId, lines, headers = {}) =>
      post(
        '/api/v1/reservations',
        { order_id: orderId, lines },
        { 'idempotency-key': orderId, 'x-order-id': orderId, ...headers },
      ),
    async sku(supplied, ...tenants) {
      const sku = `SKU-${randomUUID().toUpperCase()}`
      for (const tenant of tenants.length === 0 ? ['acme'] : tenants)
        await database.admin.query('SELECT FROM oms.set_stock($1, $2, $3)', [tenant, sku, supplied])
      return sku
    },
    async level(sku, tenant = 'acme') {
      const { rows } = await database.admin.query(
        `SELECT available::int, reserved::int, sold::int FROM oms.stock WHERE tenant_id = $1 AND sku = $2`,
        [tenant, sku],
      )
      return rows[0]
    },
    async row(orderId, tenant = 'acme') {
      const { rows } = await database.admin.query(
        'SELECT * FROM oms.reservation WHERE tenant_id = $1 AND order_id = $2',
        [tenant, orderId],
      )
      return rows[0]
    },
    async stop() {
      for (const session of sessions) session.end()
      await stopOnce(app.server, 0)()
      await orders.close()
      await database.drop()
    },
  }
}

/** A session as the service's own role, or as superuser: without the role's time limits. */
export async function openSession(
  { database, sessions }: Service,
  role = 'oms_inventory',
): Promise<Session> {
  const client = await database.admin.connect()
  await client.query(`SET SESSION AUTHORIZATION ${role}`)
  const session: Session = {
    query: (text, values) => client.query(text, values),
    end() {
      if (sessions.delete(session)) client.release(true)
    },
  }
  sessions.add(session)
  return session
}

/** Holds a transaction open while `during` runs, which may end it; else it is rolled back. */
export async function whileOpen<T>(
  service: Service,
  statement: string,
  values: unknown[],
  during: (end: (how: 'COMMIT' | 'ROLLBACK') => Promise<unknown>) => Promise<T>,
): Promise<T> {
  const session = await openSession(service, 'postgres')
  try {
    await session.query('BEGIN')
    await session.query(statement, values)
    return await during((how) => session.query(how))
  } finally {
    session.end()
  }
}

/** Resolves once a statement of the service waits for a lock. */
export function someoneWaits({ database }: Service): Promise<true> {
  return eventually('a session that waits for a lock', async () => {
    const { rows } = await database.admin.query(
      `SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND usename = 'oms_inventory' AND wait_event_type = 'Lock'`,
    )
    return rows.length > 0
  })
}

/** The sum that must hold for every SKU (I2): stock against the lines of the reservations. */
export async function oversold({ database }: Service): Promise<readonly unknown[]> {
  const { rows } = await database.admin.query(`
    WITH held AS (
      SELECT r.tenant_id, l.sku, sum(l.quantity) FILTER (WHERE r.state = 1) AS reserved,
             sum(l.quantity) FILTER (WHERE r.state = 2) AS sold
        FROM oms.reservation r, jsonb_to_recordset(r.lines) AS l(sku text, quantity bigint) GROUP BY 1, 2)
    SELECT s.* FROM oms.stock s LEFT JOIN held h USING (tenant_id, sku)
     WHERE s.reserved <> coalesce(h.reserved, 0) OR s.sold <> coalesce(h.sold, 0)
        OR s.available + s.reserved + s.sold <> s.supplied OR least(s.available, s.reserved, s.sold) < 0`)
  return rows
}

export const line = (sku: string, quantity = 1): Line => ({ sku, quantity })
