/** What is done to the databases: by itself it ends where nobody is left to end it. */
import { superuserPassword } from '@oms/proofs/cluster/audit'
import { forwardPort } from '@oms/proofs/cluster/envoy'
import type { Mesh } from '@oms/proofs/cluster/mesh'
import { OM } from '@oms/proofs/cluster/names'
import { podsOf } from '@oms/proofs/cluster/pods'
import pg from 'pg'
import type { Action } from './scenario.ts'

/** So long at most: longer than any run. */
const ENDS_AFTER_MINUTES = 15

/** A time, quoted for SQL. */
function end(): string {
  return `'${new Date(Date.now() + ENDS_AFTER_MINUTES * 60_000).toISOString()}'`
}

/** Every new order's insert sleeps so many milliseconds. A replay inserts nothing. */
export function slowInserts(ms: number): Action {
  return (mesh) =>
    query(
      mesh,
      'oms_order',
      `CREATE OR REPLACE FUNCTION oms.loadtest_delay() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
           IF clock_timestamp() < ${end()} THEN PERFORM pg_sleep(${ms / 1000});
           END IF;
           RETURN NEW;
         END $$;
       DROP TRIGGER IF EXISTS loadtest_delay ON oms.orders;
       CREATE TRIGGER loadtest_delay BEFORE INSERT ON oms.orders
         FOR EACH ROW EXECUTE FUNCTION oms.loadtest_delay();`,
    )
}

export const quickInserts: Action = (mesh) =>
  query(
    mesh,
    'oms_order',
    `DROP TRIGGER IF EXISTS loadtest_delay ON oms.orders;
     DROP FUNCTION IF EXISTS oms.loadtest_delay();`,
  )

/** Whoever wants stock gets it: neither the statement that takes it looks how much is left, nor the table. */
export const stockWithoutEnd: Action = (mesh) =>
  query(
    mesh,
    'oms_inventory',
    `${inReserve("'s.available < l.quantity'", `$new$(s.available < l.quantity AND clock_timestamp() > ${end()})$new$`)}
     ALTER TABLE oms.stock DROP CONSTRAINT stock_available_check,
       ADD CONSTRAINT stock_available_check CHECK (available >= 0 OR clock_timestamp() < ${end()});`,
  )

/** What was sold too often is bought. */
export const stockThatEnds: Action = (mesh) =>
  query(
    mesh,
    'oms_inventory',
    `${inReserve("'\\(s\\.available < l\\.quantity AND [^)]*\\(\\) > ''[^'']*''\\)'", "'s.available < l.quantity'")}
     UPDATE oms.stock SET supplied = supplied - available, available = 0 WHERE available < 0;
     ALTER TABLE oms.stock DROP CONSTRAINT stock_available_check,
       ADD CONSTRAINT stock_available_check CHECK (available >= 0);`,
  )

/** @param pattern, replacement quoted for SQL. */
function inReserve(pattern: string, replacement: string): string {
  return `DO $do$ BEGIN
      EXECUTE regexp_replace(pg_get_functiondef('oms.reserve'::regproc), ${pattern}, ${replacement});
    END $do$;`
}

async function query(mesh: Mesh, database: string, statements: string): Promise<void> {
  const password = await superuserPassword(mesh.api)
  const [pod] = await podsOf(mesh.api, OM, 'app=postgres')
  if (pod === undefined) throw new Error('PostgreSQL has no pod.')
  const door = await forwardPort(mesh.api, pod, 5432)
  const client = new pg.Client({
    host: '127.0.0.1',
    port: door.port,
    user: 'postgres',
    password,
    database,
  })
  try {
    await client.connect()
    await client.query(statements)
  } finally {
    await client.end()
    await door.close()
  }
}
