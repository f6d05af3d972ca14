/**
 * The database of one service and its three roles: the service (no DDL), the owner (DDL, migrations only) and a
 * NOLOGIN role whose SECURITY DEFINER functions see all tenants. Run once by a superuser.
 */
import pg from 'pg'

export interface ProvisionOptions {
  readonly database: string
  /** The service's role; the others are it with `_owner` and `_sweeper`. The database's name where absent. */
  readonly role?: string
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
  const { database, role = database } = options
  const admin = new pg.Client(superuserUrl('postgres'))
  await admin.connect()
  try {
    // Two at once would update the same catalogue rows; the lock goes with the session.
    await admin.query("SELECT pg_advisory_lock(hashtext('oms provision'))")
    await ensureRoles(admin, role, options)
    const found = await admin.query('SELECT 1 FROM pg_database WHERE datname = $1', [database])
    if (found.rowCount === 0) await admin.query(`CREATE DATABASE ${database} OWNER ${role}_owner`)
    await admin.query(`REVOKE ALL ON DATABASE ${database} FROM PUBLIC`)
    await admin.query(`GRANT CONNECT ON DATABASE ${database} TO ${role}, ${role}_owner`)
    const inside = new pg.Client(superuserUrl(database))
    await inside.connect()
    try {
      await inside.query(schemaSql(role))
    } finally {
      await inside.end()
    }
  } finally {
    await admin.end()
  }
}

async function ensureRoles(
  admin: pg.Client,
  role: string,
  { servicePassword, ownerPassword, statementTimeoutMs }: ProvisionOptions,
): Promise<void> {
  const roles = [
    { name: role, attributes: `LOGIN PASSWORD ${pg.escapeLiteral(servicePassword)}` },
    { name: `${role}_owner`, attributes: `LOGIN PASSWORD ${pg.escapeLiteral(ownerPassword)}` },
    { name: `${role}_sweeper`, attributes: 'NOLOGIN' },
  ]
  const settings = {
    lock_timeout: '400ms',
    statement_timeout: `${statementTimeoutMs}ms`,
    transaction_timeout: '3s',
    idle_in_transaction_session_timeout: '5s',
    client_connection_check_interval: '1s',
  }
  for (const { name, attributes } of roles) {
    const found = await admin.query('SELECT FROM pg_roles WHERE rolname = $1', [name])
    await admin.query(`${found.rowCount === 0 ? 'CREATE' : 'ALTER'} ROLE ${name} ${attributes}`)
  }
  // The owner hands functions over to the sweeper role.
  await admin.query(`GRANT ${role}_sweeper TO ${role}_owner`)
  for (const [name, value] of Object.entries(settings))
    await admin.query(`ALTER ROLE ${role} SET ${name} = '${value}'`)
}

function schemaSql(role: string): string {
  return [
    `CREATE SCHEMA IF NOT EXISTS oms AUTHORIZATION ${role}_owner`,
    'REVOKE ALL ON SCHEMA public FROM PUBLIC',
    `GRANT USAGE ON SCHEMA oms TO ${role}`,
    `GRANT USAGE, CREATE ON SCHEMA oms TO ${role}_sweeper`,
  ].join(';\n')
}
