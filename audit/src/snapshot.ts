/**
 * Reads the databases: orders first, then payment, then inventory, each in one snapshot. Participants are final before
 * their order, so an order that is final here finds them final.
 */
import type pg from 'pg'
import { inSnapshot, type Query } from './database.ts'
import type {
  Account,
  Announcement,
  Finding,
  HistoryStep,
  Key,
  Order,
  Payment,
  Refund,
  Snapshot,
} from './evidence.ts'
import { readVisibility } from './visibility.ts'

/** Pools of a role that bypasses row security; each takes one connection at a time. */
export interface Databases {
  readonly order: pg.Pool
  readonly inventory: pg.Pool
  readonly payment: pg.Pool
}

type Keyed<Row> = Row & { readonly key: Key }

/** Evidence's `Key`, in SQL. */
export const KEY = "tenant_id || '/' || order_id AS key"

export async function readSnapshot(databases: Databases): Promise<Snapshot> {
  const order = await inSnapshot('oms_order', databases.order, readOrders)
  const payment = await inSnapshot('oms_payment', databases.payment, readPayments)
  const inventory = await inSnapshot('oms_inventory', databases.inventory, readInventory)
  const views = [order.visibility, payment.visibility, inventory.visibility]
  return {
    ...order,
    ...payment,
    ...inventory,
    visibility: {
      probed: views.every(({ probed }) => probed),
      findings: views.flatMap(({ findings }) => findings),
    },
  }
}

async function readOrders(query: Query) {
  const orders = byKey(
    await query<Keyed<Order>>(
      `SELECT ${KEY}, state, amount_minor::float8 AS amount, encode(fp, 'hex') AS fp,
              cancel_requested_at IS NOT NULL AS "cancelRequested",
              coalesce(next_run_at <= now(), false) AS due,
              coalesce(next_run_at < now() - interval '60 s', false) AS overdue
         FROM oms.orders`,
    ),
  )
  const announcements = await query<Announcement>(
    `SELECT ${KEY}, type, true AS pending,
            (extract(epoch FROM now() - created_at) * 1000)::float8 AS "ageMs" FROM oms.outbox
     UNION ALL
     SELECT ${KEY}, e.type, false,
            (extract(epoch FROM e.created_at - o.finished_at) * 1000)::float8
       FROM oms.order_event e LEFT JOIN oms.orders o USING (tenant_id, order_id)`,
  )
  const gaps = await query<Finding>(
    `SELECT tenant_id AS subject, count(*) || ' events are numbered ' || min(seq) || ' to ' || max(seq) AS why
       FROM oms.order_event GROUP BY tenant_id HAVING min(seq) <> 1 OR max(seq) <> count(*)`,
  )
  const history = await readHistory(query)
  const visibility = await readVisibility(query, 'oms_order')
  return { orders, announcements, gaps, history, visibility }
}

async function readHistory(
  query: Query,
): Promise<ReadonlyMap<Key, readonly HistoryStep[]> | undefined> {
  const [installed] = await query<{ found: boolean }>(
    `SELECT to_regclass('oms_audit.order_history') IS NOT NULL AS found`,
  )
  if (installed?.found !== true) return undefined
  const paths = new Map<Key, HistoryStep[]>()
  const rows = await query<Keyed<HistoryStep>>(
    `SELECT ${KEY}, seq::float8 AS seq, state, verdict, cancel_requested AS "cancelRequested"
       FROM oms_audit.order_history ORDER BY tenant_id, order_id, seq`,
  )
  for (const row of rows) {
    const path = paths.get(row.key)
    if (path === undefined) paths.set(row.key, [row])
    else path.push(row)
  }
  return paths
}

async function readPayments(query: Query) {
  const payments = byKey(
    await query<Keyed<Payment>>(
      `SELECT ${KEY}, state, amount_minor::float8 AS amount, currency, psp_key AS "pspKey", psp_ref AS "pspRef",
              coalesce(next_run_at <= now(), false) AS due
         FROM oms.payment`,
    ),
  )
  const refunds = await query<Refund>(
    `SELECT ${KEY}, state, amount_minor::float8 AS amount, psp_key AS "pspKey", psp_ref AS "pspRef",
            coalesce(next_run_at <= now(), false) AS due
       FROM oms.refund`,
  )
  const accounts = await query<Account>(
    `SELECT ${KEY}, currency,
            (coalesce(sum(amount_minor) FILTER (WHERE debit = 'psp'), 0)
             - coalesce(sum(amount_minor) FILTER (WHERE credit = 'psp'), 0))::float8 AS balance,
            (count(*) FILTER (WHERE debit = 'psp'))::integer AS captures
       FROM oms.ledger GROUP BY tenant_id, order_id, currency`,
  )
  return { payments, refunds, accounts, visibility: await readVisibility(query, 'oms_payment') }
}

async function readInventory(query: Query) {
  const rows = await query<Keyed<{ state: number }>>(`SELECT ${KEY}, state FROM oms.reservation`)
  const reservations = new Map(rows.map(({ key, state }) => [key, state]))
  const [count] = await query<{ skus: number }>('SELECT count(*)::integer AS skus FROM oms.stock')
  // A sku that is reserved but not in stock is oversold, too: hence the full join.
  const stock = await query<Finding>(
    `WITH taken AS (
       SELECT r.tenant_id, l.sku,
              coalesce(sum(l.quantity) FILTER (WHERE r.state = 1), 0) AS held,
              coalesce(sum(l.quantity) FILTER (WHERE r.state = 2), 0) AS committed
         FROM oms.reservation r CROSS JOIN LATERAL jsonb_to_recordset(r.lines) AS l (sku text, quantity bigint)
        WHERE r.state IN (1, 2) GROUP BY r.tenant_id, l.sku),
     compared AS (
       SELECT tenant_id || '/' || sku AS subject, supplied,
              coalesce(available, 0) AS available, coalesce(reserved, 0) AS reserved, coalesce(sold, 0) AS sold,
              coalesce(held, 0) AS held, coalesce(committed, 0) AS committed
         FROM oms.stock FULL JOIN taken USING (tenant_id, sku))
     SELECT subject, concat_ws('; ',
         CASE WHEN supplied IS NULL THEN 'not in stock' END,
         CASE WHEN available + reserved + sold <> supplied
              THEN format('available %s + reserved %s + sold %s, but supplied %s', available, reserved, sold, supplied) END,
         CASE WHEN least(available, reserved, sold, supplied) < 0
              THEN format('negative: available %s, reserved %s, sold %s, supplied %s', available, reserved, sold, supplied) END,
         CASE WHEN reserved <> held THEN format('reserved %s, but held lines say %s', reserved, held) END,
         CASE WHEN sold <> committed THEN format('sold %s, but committed lines say %s', sold, committed) END) AS why
       FROM compared
      WHERE supplied IS NULL OR available + reserved + sold <> supplied
         OR least(available, reserved, sold, supplied) < 0 OR reserved <> held OR sold <> committed`,
  )
  const visibility = await readVisibility(query, 'oms_inventory')
  return { reservations, skus: count?.skus ?? 0, stock, visibility }
}

function byKey<Row>(rows: readonly Keyed<Row>[]): ReadonlyMap<Key, Row> {
  return new Map(rows.map((row) => [row.key, row]))
}

/** Every order that payment or inventory has heard of. */
export function participants(snapshot: Snapshot): Key[] {
  const { payments, reservations, accounts } = snapshot
  return [
    ...new Set([...payments.keys(), ...reservations.keys(), ...accounts.map(({ key }) => key)]),
  ]
}
