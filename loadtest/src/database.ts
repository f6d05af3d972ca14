/** A delay inside a statement of order-service's database, which ends by itself where nobody is left to end it. */
import { superuserPassword } from '@oms/proofs/cluster/audit'
import { forwardPort } from '@oms/proofs/cluster/envoy'
import type { Mesh } from '@oms/proofs/cluster/mesh'
import { OM } from '@oms/proofs/cluster/names'
import { podsOf } from '@oms/proofs/cluster/pods'
import pg from 'pg'
import type { Action } from './scenario.ts'

/** So long at most: longer than any run. */
const ENDS_AFTER_MINUTES = 15

/** Every new order's insert sleeps so many milliseconds. A replay inserts nothing. */
export function slowInserts(ms: number): Action {
  return (mesh) =>
    onOrders(
      mesh,
      `CREATE OR REPLACE FUNCTION oms.loadtest_delay() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
           IF clock_timestamp() < '${new Date(Date.now() + ENDS_AFTER_MINUTES * 60_000).toISOString()}'
             THEN PERFORM pg_sleep(${ms / 1000});
           END IF;
           RETURN NEW;
         END $$;
       DROP TRIGGER IF EXISTS loadtest_delay ON oms.orders;
       CREATE TRIGGER loadtest_delay BEFORE INSERT ON oms.orders
         FOR EACH ROW EXECUTE FUNCTION oms.loadtest_delay();`,
    )
}

export const quickInserts: Action = (mesh) =>
  onOrders(
    mesh,
    `DROP TRIGGER IF EXISTS loadtest_delay ON oms.orders;
     DROP FUNCTION IF EXISTS oms.loadtest_delay();`,
  )

async function onOrders(mesh: Mesh, statements: string): Promise<void> {
  const password = await superuserPassword(mesh.api)
  const [pod] = await podsOf(mesh.api, OM, 'app=postgres')
  if (pod === undefined) throw new Error('PostgreSQL has no pod.')
  const door = await forwardPort(mesh.api, pod, 5432)
  const client = new pg.Client({
    host: '127.0.0.1',
    port: door.port,
    user: 'postgres',
    password,
    database: 'oms_order',
  })
  try {
    await client.connect()
    await client.query(statements)
  } finally {
    await client.end()
    await door.close()
  }
}
