/** A second look, after everything else was read: tells what is younger than a snapshot from what is missing. */
import type pg from 'pg'
import { inSnapshot } from './database.ts'
import type { Key, LateRows, ProcessorLedger, Snapshot } from './evidence.ts'
import { orderOf } from './psp-key.ts'
import { type Databases, KEY, participants } from './snapshot.ts'

/**
 * Rows that are younger than the snapshot of their own database: an order whose participants were read later, a
 * payment or refund that the processor's ledger already shows.
 */
export async function readLateRows(
  databases: Databases,
  snapshot: Snapshot,
  ledger: ProcessorLedger | undefined,
): Promise<LateRows> {
  const orphans = participants(snapshot).filter((key) => !snapshot.orders.has(key))
  const charged = (ledger?.charges ?? [])
    .map((charge) => orderOf(charge.merchant_reference)?.key)
    .filter((key) => key !== undefined && !snapshot.payments.has(key)) as Key[]
  const known = new Set(snapshot.refunds.map(({ pspKey }) => pspKey))
  const refunded = (ledger?.refunds ?? [])
    .map((refund) => refund.idempotency_key)
    .filter((pspKey) => !known.has(pspKey))
  return {
    orders: await findRows('oms_order', databases.order, 'orders', orphans),
    payments: await findRows('oms_payment', databases.payment, 'payment', charged),
    refundKeys: await findRefunds(databases.payment, refunded),
  }
}

async function findRows(
  name: string,
  pool: pg.Pool,
  table: string,
  keys: readonly Key[],
): Promise<ReadonlySet<Key>> {
  if (keys.length === 0) return new Set()
  const ids = keys.map((key) => key.split('/'))
  const rows = await inSnapshot(name, pool, (query) =>
    query<{ key: Key }>(
      `SELECT ${KEY} FROM oms.${table}
        WHERE (tenant_id, order_id) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))`,
      [ids.map(([tenant]) => tenant), ids.map(([, order]) => order)],
    ),
  )
  return new Set(rows.map(({ key }) => key))
}

async function findRefunds(
  pool: pg.Pool,
  pspKeys: readonly string[],
): Promise<ReadonlySet<string>> {
  if (pspKeys.length === 0) return new Set()
  const rows = await inSnapshot('oms_payment', pool, (query) =>
    query<{ key: string }>('SELECT psp_key AS key FROM oms.refund WHERE psp_key = ANY($1)', [
      pspKeys,
    ]),
  )
  return new Set(rows.map(({ key }) => key))
}
