/**
 * PostgreSQL: a pool, named statements with spans, and errors that say what became of the try. One call of one
 * function in autocommit is one round trip and one commit (docs/decisions/0005).
 */
import { Busy, Overloaded, Unavailable } from '@oms/problem/http-problems'
import type { Migration } from 'kysely/migration'
import pg from 'pg'
import { ConfigError, readSecret } from './config.ts'
import { openPool } from './pool.ts'
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

/** The call of one function of the service's schema: `functionCall('shipping', 'load_parcel', 2)`. */
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
/**
 * 5 s, far more than a caller waits: a connection that is given up before it is made is begun anew for the next caller, and
 * where processors are short, as after a fault, none would ever be made.
 */
const CONNECT_TIMEOUT_MS = 5000
/**
 * 5 s, longer than any limit of the server's: an answer that is still missing is on a connection whose other end is
 * gone, and would hold its request for a quarter of an hour.
 */
const HALF_OPEN_AFTER_MS = 5000

export function createPostgres(
  server: Server,
  config: DatabaseConfig,
  migrations: Readonly<Record<string, Migration>>,
): Postgres {
  const options = {
    ...connection(config),
    max: config.POOL_SIZE,
    // Kept open: a burst after a quiet time must not wait for connections to be made.
    min: config.POOL_SIZE,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: HALF_OPEN_AFTER_MS,
    application_name: server.chassis.serviceName,
    pipeline: true,
  } as pg.PoolConfig
  const pool = openPool(options, (error) => server.log.warn({ err: error }, 'idle connection lost'))
  const connected = new Set<pg.PoolClient>()
  pool.on('connect', (client) => void connected.add(client))
  pool.on('remove', (client) => void connected.delete(client))
  server.chassis.metrics.gauge(
    'postgres_pool_busy',
    'Database connections in use.',
    () => pool.totalCount - pool.idleCount,
  )
  server.chassis.boot.push(
    () => refuseUnsafe(server, pool),
    () => awaitSchema(server, pool, migrations),
    // Again: only now are there tables to own.
    () => refuseUnsafe(server, pool),
    () => warmUp(pool, config.POOL_SIZE),
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
          return await query<Row>(pool, statement, values)
        } catch (error) {
          throw translate(error, statement, connected.size >= config.POOL_SIZE)
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

/** `pool.query` would throw the connection away with every refused statement, when many wait for one lock. */
async function query<Row>(
  pool: pg.Pool,
  statement: Statement,
  values: readonly unknown[],
): Promise<readonly Row[]> {
  const client = await acquire(pool)
  let broken = false
  // The query's own rejection tells the same; without a listener the event would end the process.
  const onError = (): void => {
    broken = true
  }
  client.on('error', onError)
  try {
    return await send<Row>(client, statement, values)
  } catch (error) {
    broken ||= (error as { severity?: string }).severity !== 'ERROR'
    throw error
  } finally {
    client.off('error', onError)
    client.release(broken)
  }
}

/** As the driver's own object: a plain one it would copy, property descriptor by property descriptor. */
function send<Row>(
  client: pg.PoolClient,
  { name, text }: Statement,
  values: readonly unknown[],
): Promise<readonly Row[]> {
  return new Promise((resolve, reject) => {
    const query = new pg.Query<Row & pg.QueryResultRow>(
      text,
      values as unknown[],
      (error, result) => (error ? reject(error) : resolve(result.rows)),
    )
    client.query(Object.assign(query, { name }))
  })
}

class NoConnectionInTime extends Error {}

/**
 * One that comes too late for its caller is the next one's. After a stall the timer's turn comes before the answers that
 * have arrived are read, and those set connections free: only after that turn is it late.
 */
function acquire(pool: pg.Pool): Promise<pg.PoolClient> {
  if (pool.idleCount > pool.waitingCount) return pool.connect()
  return new Promise((resolve, reject) => {
    let isLate = false
    const refuse = (): void => {
      isLate = true
      reject(new NoConnectionInTime(`No connection within ${ACQUIRE_TIMEOUT_MS} ms`))
    }
    const timer = setTimeout(() => setImmediate(refuse), ACQUIRE_TIMEOUT_MS)
    pool
      .connect()
      .finally(() => clearTimeout(timer))
      .then((client) => (isLate ? client.release() : resolve(client)), reject)
  })
}

function connection(config: DatabaseConfig): pg.ClientConfig {
  const password = readSecret(config.DATABASE_PASSWORD_FILE)
  const url = new URL(config.DATABASE_URL)
  if (password !== undefined) url.password = encodeURIComponent(password)
  return { connectionString: url.href }
}

/** lock_not_available, query_canceled (a server-side time limit), deadlock_detected */
const BUSY = new Set(['55P03', '57014', '40P01'])

/** What the driver and `acquire` say, without a code, of a connection that did not come about or broke. */
const CONNECTION_LOST =
  /^(No connection within|Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client (has encountered a connection error|was closed)|Cannot use a pool after)/

function translate(error: unknown, { name }: Statement, everyConnectionBusy: boolean): unknown {
  const { code, message = '' } = error as { code?: string; message?: string }
  if (code !== undefined && BUSY.has(code))
    return new Busy(
      'Another request holds this row; ask again after a second.',
      {},
      { cause: error },
    )
  if (error instanceof NoConnectionInTime && everyConnectionBusy)
    return new Overloaded(
      'Every database connection is busy; try again after a second.',
      {},
      { cause: error },
    )
  const lost =
    code === undefined
      ? CONNECTION_LOST.test(message)
      : /^(08|28|53|57P0)/.test(code) || NETWORK.test(code)
  if (lost)
    return new Unavailable(
      'This instance lost its database; ask again with the same key.',
      {},
      { cause: error },
    )
  return new Error(`statement ${name} failed`, { cause: error })
}

const NETWORK = /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)/

/** Settings and roles under which the promises would not hold. */
async function refuseUnsafe(server: Server, pool: pg.Pool): Promise<void> {
  const result = await retryWhileStarting(isDraining(server), () =>
    pool.query<{ reason: string }>(`
      SELECT name || ' is off: a crash would lose what was acknowledged; turn it on' AS reason
        FROM pg_settings
       WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
      UNION ALL
      SELECT 'role ' || current_user || ' is superuser or has BYPASSRLS: tenants would not be kept apart; use the service role'
        FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)
      UNION ALL
      SELECT 'role ' || current_user || ' owns the tables: it could change them; use the service role'
       WHERE EXISTS (SELECT FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid
               WHERE n.nspname = '${SCHEMA}'
                 AND current_user IN (pg_get_userbyid(n.nspowner), pg_get_userbyid(c.relowner)))`),
  )
  const rows = result?.rows ?? []
  if (rows.length > 0)
    throw new ConfigError(
      `This database is refused: ${rows.map(({ reason }) => reason).join('; ')}.`,
    )
}

/**
 * Makes the connections before the first burst needs them: where the machine is short of processors, as in a rollout, a
 * pod that took requests earlier would refuse them. Those that cannot be had are made when they are needed.
 */
async function warmUp(pool: pg.Pool, connections: number): Promise<void> {
  const made = await Promise.allSettled(Array.from({ length: connections }, () => pool.connect()))
  for (const each of made) if (each.status === 'fulfilled') each.value.release()
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
    const applied = await retryWhileStarting(isDraining(server), () => latestMigration(pool))
    if (applied === undefined || applied >= wanted) return
    if (!told)
      server.log.warn({ wanted, applied }, 'waiting for the schema; run `main.mjs migrate`')
    told = true
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

async function latestMigration(pool: pg.Pool): Promise<string> {
  // Its owner grants the right to read it when all migrations are through.
  const exists = await pool.query<{ found: boolean }>(
    `SELECT coalesce(has_table_privilege(to_regclass('${SCHEMA}.kysely_migration'), 'SELECT'), false) AS found`,
  )
  if (exists.rows[0]?.found !== true) return ''
  const { rows } = await pool.query<{ name: string }>(
    `SELECT name FROM ${SCHEMA}.kysely_migration ORDER BY name DESC LIMIT 1`,
  )
  return rows[0]?.name ?? ''
}

const isDraining = (server: Server) => (): boolean => server.chassis.phase === 'draining'

/** Waits for a database that is not up yet: pods of one release start in any order. `undefined` once it `isOver`. */
async function retryWhileStarting<T>(
  isOver: () => boolean,
  work: () => Promise<T>,
): Promise<T | undefined> {
  for (;;) {
    if (isOver()) return undefined
    try {
      return await work()
    } catch (error) {
      const { code, message = '' } = error as { code?: string; message?: string }
      const waits =
        code === undefined
          ? CONNECTION_LOST.test(message)
          : NETWORK.test(code) || /^(08|53|57P0)/.test(code)
      if (!waits) throw error
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
  }
}

/** 30 s: a database that starts beside the migration has answered by then. */
const MIGRATE_WAITS_MS = 30_000

/** Applies what is missing, once, however many start at the same time. Run by the schema's owner. */
export async function migrate(
  config: DatabaseConfig,
  migrations: Readonly<Record<string, Migration>>,
  tell: (line: string) => void = (line) => void process.stdout.write(`${line}\n`),
): Promise<void> {
  // Here, for a program that serves does not need it.
  const { Kysely, PostgresDialect, sql } = await import('kysely')
  const { Migrator } = await import('kysely/migration')
  const pool = openPool({ ...connection(config), max: 1 })
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) })
  try {
    const until = performance.now() + MIGRATE_WAITS_MS
    await retryWhileStarting(
      () => performance.now() > until,
      () => pool.query('SELECT 1'),
    )
    const { error, results } = await new Migrator({
      db,
      migrationTableSchema: SCHEMA,
      provider: { getMigrations: async () => ({ ...migrations }) },
    }).migrateToLatest()
    for (const { migrationName, status } of results ?? [])
      tell(`migration ${migrationName}: ${status.toLowerCase()}`)
    if (error !== undefined) throw error
    // The services compare their version with this table. Two grants at once would fail: "tuple concurrently updated".
    await sql
      .raw(`DO $$ BEGIN
        PERFORM pg_advisory_xact_lock(hashtext('oms migrate'));
        GRANT SELECT ON ${SCHEMA}.kysely_migration TO PUBLIC;
      END $$`)
      .execute(db)
  } finally {
    await db.destroy()
  }
}
