/**
 * The database of one service and its three roles: the service (no DDL), the owner (DDL, migrations only) and a
 * NOLOGIN role whose SECURITY DEFINER functions see all tenants. Run once by a superuser.
 */
import pg from 'pg'

export interface ProvisionOptions {
  /** Also the name of the service's role; the others are it with `_owner` and `_sweeper`. */
  readonly database: string
  readonly servicePassword: string
  readonly ownerPassword: string
  /** Milliseconds one statement may take. */
  readonly statementTimeoutMs: number
}

/** Idempotent: run twice, it changes nothing but the passwords. */
export async function provisionDatabase(
  superuserUrl: (database: string) => string,
  options: ProvisionOptions,
): Promise<void> {
  const { database } = options
  const admin = new pg.Client(superuserUrl('postgres'))
  await admin.connect()
  try {
    await admin.query(rolesSql(options))
    const found = await admin.query('SELECT 1 FROM pg_database WHERE datname = $1', [database])
    if (found.rowCount === 0)
      await admin.query(`CREATE DATABASE ${database} OWNER ${database}_owner`)
    await admin.query(`REVOKE ALL ON DATABASE ${database} FROM PUBLIC`)
    await admin.query(`GRANT CONNECT ON DATABASE ${database} TO ${database}`)
  } finally {
    await admin.end()
  }
  const inside = new pg.Client(superuserUrl(database))
  await inside.connect()
  try {
    await inside.query(schemaSql(database))
  } finally {
    await inside.end()
  }
}

function rolesSql({
  database,
  servicePassword,
  ownerPassword,
  statementTimeoutMs,
}: ProvisionOptions): string {
  const roles = [
    { name: database, attributes: `LOGIN PASSWORD ${pg.escapeLiteral(servicePassword)}` },
    { name: `${database}_owner`, attributes: `LOGIN PASSWORD ${pg.escapeLiteral(ownerPassword)}` },
    { name: `${database}_sweeper`, attributes: 'NOLOGIN' },
  ]
  const settings = {
    lock_timeout: '400ms',
    statement_timeout: `${statementTimeoutMs}ms`,
    transaction_timeout: '3s',
    idle_in_transaction_session_timeout: '5s',
    client_connection_check_interval: '1s',
  }
  return [
    ...roles.map(
      ({ name, attributes }) => `DO $$ BEGIN
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = '${name}') THEN ALTER ROLE ${name} ${attributes.replaceAll('$', '')};
        ELSE CREATE ROLE ${name} ${attributes.replaceAll('$', '')}; END IF; END $$`,
    ),
    // The owner hands functions over to the sweeper role.
    `GRANT ${database}_sweeper TO ${database}_owner`,
    ...Object.entries(settings).map(
      ([name, value]) => `ALTER ROLE ${database} SET ${name} = '${value}'`,
    ),
  ].join(';\n')
}

function schemaSql(database: string): string {
  return [
    `CREATE SCHEMA IF NOT EXISTS oms AUTHORIZATION ${database}_owner`,
    'REVOKE ALL ON SCHEMA public FROM PUBLIC',
    `GRANT USAGE ON SCHEMA oms TO ${database}`,
    `GRANT USAGE, CREATE ON SCHEMA oms TO ${database}_sweeper`,
    `ALTER ROLE ${database} IN DATABASE ${database} SET search_path = oms`,
    `ALTER ROLE ${database}_owner IN DATABASE ${database} SET search_path = oms`,
  ].join(';\n')
}
