/**
 * PostgreSQL: a pool, named statements with spans, and errors that say what became of the try. One call of one
 * function in autocommit is one round trip and one commit (docs/decisions/0005).
 */
import { Busy, Overloaded, Unavailable } from '@oms/problem/http-problems'
import { Kysely, PostgresDialect, sql } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import pg from 'pg'
import { ConfigError, readSecret } from './config.ts'
import type { Server } from './server.ts'
import { clientSpan } from './telemetry.ts'

export interface DatabaseConfig {
  readonly DATABASE_URL: string
  readonly DATABASE_PASSWORD_FILE?: string
  readonly POOL_SIZE: number
}

/** A prepared statement. Its name is the span's; at most 63 characters, one text per name. */
export interface Statement {
  readonly name: string
  readonly text: string
}

/** The call of one function of the service's schema: `functionCall('payment', 'load_payment', 2)`. */
export function functionCall(service: string, name: string, parameters: number): Statement {
  const placeholders = Array.from({ length: parameters }, (_, i) => `$${i + 1}`).join(', ')
  return {
    name: `${service}.${name}`,
    text: `SELECT * FROM ${SCHEMA}.${name}(${placeholders})`,
  }
}

export interface Postgres {
  /**
   * Runs one statement, one round trip.
   * @throws Overloaded no connection came free within 250 ms: not executed.
   * @throws Busy a lock or the statement's time limit: outcome unknown to the caller's request.
   * @throws Unavailable the database cannot be reached or went away.
   */
  call<Row>(statement: Statement, values: readonly unknown[]): Promise<readonly Row[]>
  /** `call` of a statement that always returns a row. */
  one<Row>(statement: Statement, values: readonly unknown[]): Promise<Row>
}

/** The schema of every service's database. */
const SCHEMA = 'oms'

/** 250 ms: a caller that waits longer for a connection is better told to come again. */
const ACQUIRE_TIMEOUT_MS = 250

export function createPostgres(
  server: Server,
  config: DatabaseConfig,
  migrations: Readonly<Record<string, Migration>>,
): Postgres {
  const pool = new pg.Pool({
    ...connection(config),
    max: config.POOL_SIZE,
    connectionTimeoutMillis: ACQUIRE_TIMEOUT_MS,
    application_name: `oms-${config.POOL_SIZE}`,
    pipeline: true,
  } as pg.PoolConfig)
  // Without a listener the error of an idle connection ends the process.
  pool.on('error', (error) => server.log.warn({ err: error }, 'idle connection lost'))
  server.chassis.metrics.gauge(
    'postgres_pool_busy',
    'Database connections in use.',
    () => pool.totalCount - pool.idleCount,
  )
  server.chassis.boot.push(
    () => refuseUnsafe(pool),
    () => awaitSchema(server, pool, migrations),
  )
  server.chassis.closers.push(() => pool.end())

  async function call<Row>(
    statement: Statement,
    values: readonly unknown[],
  ): Promise<readonly Row[]> {
    return clientSpan(
      statement.name,
      { 'db.system.name': 'postgresql', 'db.query.summary': statement.name },
      async () => {
        try {
          const result = await pool.query({ ...statement, values: values as unknown[] })
          return result.rows as Row[]
        } catch (error) {
          throw translate(error, pool, statement)
        }
      },
    )
  }

  async function one<Row>(statement: Statement, values: readonly unknown[]): Promise<Row> {
    const [row] = await call<Row>(statement, values)
    if (row === undefined) throw new Error(`${statement.name} returned no row`)
    return row
  }

  return { call, one }
}

function connection(config: DatabaseConfig): pg.ClientConfig {
  const password = readSecret(config.DATABASE_PASSWORD_FILE)
  const url = new URL(config.DATABASE_URL)
  if (password !== undefined) url.password = encodeURIComponent(password)
  return { connectionString: url.href }
}

/** lock_not_available, query_canceled (a server-side time limit), deadlock_detected */
const BUSY = new Set(['55P03', '57014', '40P01'])

function translate(error: unknown, pool: pg.Pool, { name }: Statement): unknown {
  const { code, message } = error as { code?: string; message?: string }
  if (code !== undefined && BUSY.has(code))
    return new Busy(
      'Another request holds this row; ask again after a second.',
      {},
      { cause: error },
    )
  if (message === 'timeout exceeded when trying to connect' && pool.waitingCount > 0)
    return new Overloaded(
      'Every database connection is busy; try again after a second.',
      {},
      { cause: error },
    )
  const lost =
    code === undefined
      ? error instanceof Error
      : /^(08|57P0|53)/.test(code) ||
        /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH)/.test(code)
  if (lost)
    return new Unavailable(
      'This instance lost its database; ask again with the same key.',
      {},
      { cause: error },
    )
  return new Error(`statement ${name} failed`, { cause: error })
}

/** Settings and roles under which the promises would not hold. */
async function refuseUnsafe(pool: pg.Pool): Promise<void> {
  const { rows } = await retryWhileStarting(() =>
    pool.query<{ reason: string }>(`
      SELECT name || ' is off: a crash would lose acknowledged orders; turn it on' AS reason
        FROM pg_settings
       WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
      UNION ALL
      SELECT 'role ' || current_user || ' is superuser or has BYPASSRLS: tenants would not be kept apart; use the service role'
        FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)
      UNION ALL
      SELECT 'role ' || current_user || ' owns the tables: it could change them; use the service role'
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname = '${SCHEMA}' AND pg_get_userbyid(c.relowner) = current_user
       LIMIT 1`),
  )
  if (rows.length > 0)
    throw new ConfigError(
      `This database is refused: ${rows.map(({ reason }) => reason).join('; ')}.`,
    )
}

/** Waits, not ready, until the schema is at least this program's. One release back runs beside it. */
async function awaitSchema(
  server: Server,
  pool: pg.Pool,
  migrations: Readonly<Record<string, Migration>>,
): Promise<void> {
  const wanted = Object.keys(migrations).sort().at(-1) ?? ''
  let told = false
  for (;;) {
    const applied = await retryWhileStarting(() => latestMigration(pool))
    if (applied >= wanted) return
    if (server.chassis.phase === 'draining') return
    if (!told)
      server.log.warn({ wanted, applied }, 'waiting for the schema; run `main.mjs migrate`')
    told = true
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

async function latestMigration(pool: pg.Pool): Promise<string> {
  const exists = await pool.query<{ found: boolean }>(
    `SELECT to_regclass('${SCHEMA}.kysely_migration') IS NOT NULL AS found`,
  )
  if (exists.rows[0]?.found !== true) return ''
  const { rows } = await pool.query<{ name: string }>(
    `SELECT name FROM ${SCHEMA}.kysely_migration ORDER BY name DESC LIMIT 1`,
  )
  return rows[0]?.name ?? ''
}

/** A database that is not up yet is waited for: pods of one release start in any order. */
async function retryWhileStarting<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      const { code, message } = error as { code?: string; message?: string }
      const waits =
        code === 'ECONNREFUSED' ||
        code === '57P03' ||
        message === 'timeout exceeded when trying to connect'
      if (!waits) throw error
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
  }
}

/** Applies what is missing, once, however many start at the same time. Run by the schema's owner. */
export async function migrate(
  config: DatabaseConfig,
  migrations: Readonly<Record<string, Migration>>,
  tell: (line: string) => void = (line) => void process.stdout.write(`${line}\n`),
): Promise<void> {
  const pool = new pg.Pool({ ...connection(config), max: 1 })
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) })
  try {
    const { error, results } = await new Migrator({
      db,
      migrationTableSchema: SCHEMA,
      provider: { getMigrations: async () => ({ ...migrations }) },
    }).migrateToLatest()
    for (const { migrationName, status } of results ?? [])
      tell(`migration ${migrationName}: ${status.toLowerCase()}`)
    if (error !== undefined) throw error
    // The services compare their version with this table.
    await sql`GRANT SELECT ON ${sql.table(`${SCHEMA}.kysely_migration`)} TO PUBLIC`.execute(db)
  } finally {
    await db.destroy()
  }
}
