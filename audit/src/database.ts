/** One read-only snapshot of one database. */
import type pg from 'pg'
import { InputError } from './evidence.ts'

export type Query = <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>

/**
 * Runs `read` in one REPEATABLE READ, READ ONLY transaction.
 * @throws InputError the database is out of reach, has no schema, or hides rows from this role.
 */
export async function inSnapshot<T>(
  name: string,
  pool: pg.Pool,
  read: (query: Query) => Promise<T>,
): Promise<T> {
  let client: pg.PoolClient | undefined
  let failure: Error | undefined
  // A connection that dies while it is checked out would end the process.
  const lost = (error: Error): void => {
    failure = error
  }
  try {
    client = await pool.connect()
    client.on('error', lost)
    const connection = client
    const run: Query = async (text, values) =>
      (await connection.query(text, values as unknown[])).rows
    await run('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    // An error instead of an audit of nothing where row security would hide rows.
    await run('SET LOCAL row_security = off')
    const result = await read(run)
    await run('COMMIT')
    return result
  } catch (error) {
    failure = error as Error
    throw new InputError(sentence(name, failure), { cause: error })
  } finally {
    client?.off('error', lost)
    client?.release(failure)
  }
}

function sentence(name: string, { code, message }: Error & { readonly code?: string }): string {
  if (message.includes('row-level security') || message.includes('row security'))
    return `The role for ${name} does not see every tenant; connect as a superuser or a role with BYPASSRLS.`
  // undefined_table, invalid_schema_name
  if (code === '42P01' || code === '3F000')
    return `${name} has no schema of this version (${message}); run its migrations first.`
  if (code === undefined || /^(08|57P|28|3D|53|E[A-Z])/.test(code))
    return `${name} cannot be reached: ${message === '' ? code : message}. Check its URL and that PostgreSQL runs.`
  return `${name} cannot be read: ${message}.`
}
