/** What the databases say of a run's two tenants, and what the model says they must. */
import type { World } from '../in-process/world.ts'
import type { Model, ModelOrder } from './model.ts'

export interface Observation {
  /** By `tenant/order`, in words. */
  readonly orders: Readonly<Record<string, string>>
  /** By `tenant/sku`. */
  readonly stock: Readonly<Record<string, string>>
  /** Orders of the outbox. */
  readonly outbox: readonly string[]
  /** By tenant, in the order of their numbers. */
  readonly feed: Readonly<Record<string, readonly string[]>>
}

const ORDER_STATES = `CASE state WHEN 10 THEN 'pending' WHEN 30 THEN 'payment_unknown' WHEN 35 THEN 'refunding'
  WHEN 40 THEN 'compensating' WHEN 100 THEN 'confirmed' WHEN 110 THEN 'rejected' WHEN 120 THEN 'declined'
  WHEN 130 THEN 'cancelled' END`

const ORDERS = `SELECT tenant_id || '/' || order_id AS id, 'order' AS what,
    concat_ws(' ', ${ORDER_STATES}, verdict, amount_minor, CASE WHEN cancel_requested_at IS NOT NULL THEN 'cancel requested' END) AS says,
    0 AS position
  FROM oms.orders WHERE tenant_id = ANY ($1)
  UNION ALL SELECT tenant_id || '/' || order_id, 'outbox', type, 0 FROM oms.outbox WHERE tenant_id = ANY ($1)
  UNION ALL SELECT tenant_id || '/' || order_id, tenant_id, type, seq FROM oms.order_event WHERE tenant_id = ANY ($1)
  ORDER BY position`

const PAYMENTS = `SELECT p.tenant_id || '/' || p.order_id AS id,
    concat_ws(' ', CASE p.state WHEN 1 THEN 'processing' WHEN 2 THEN 'captured' WHEN 3 THEN 'declined' WHEN 4 THEN 'voided' END,
      p.amount_minor, 'refunded', p.refunded_minor,
      (SELECT CASE r.state WHEN 1 THEN 'processing' WHEN 2 THEN 'done' WHEN 3 THEN 'failed' END FROM oms.refund r
        WHERE (r.tenant_id, r.order_id) = (p.tenant_id, p.order_id) ORDER BY r.refund_no DESC LIMIT 1)) AS says
  FROM oms.payment p WHERE p.tenant_id = ANY ($1)`

const STOCK = `SELECT tenant_id || '/' || order_id AS id, 'reservation' AS what,
    CASE state WHEN 1 THEN 'held' WHEN 2 THEN 'committed' WHEN 3 THEN 'released' WHEN 9 THEN 'rejected' END AS says
  FROM oms.reservation WHERE tenant_id = ANY ($1)
  UNION ALL SELECT tenant_id || '/' || sku, 'stock', concat_ws(' ', available, reserved, sold) FROM oms.stock WHERE tenant_id = ANY ($1)`

interface Said {
  readonly id: string
  readonly what: string
  readonly says: string
}

export async function observe(world: World, tenants: readonly string[]): Promise<Observation> {
  const [orders, payments, inventory] = await Promise.all([
    world.query<Said>('order', ORDERS, [tenants]),
    world.query<Said>('payment', PAYMENTS, [tenants]),
    world.query<Said>('inventory', STOCK, [tenants]),
  ])
  const of = (said: readonly Said[], what: string): Readonly<Record<string, string>> =>
    sorted(said.filter((each) => each.what === what).map(({ id, says }) => [id, says] as const))
  const events = (what: string): readonly string[] =>
    orders.filter((each) => each.what === what).map(({ id, says }) => `${id} ${says}`)
  const whole: Record<string, string> = { ...of(orders, 'order') }
  const add = (id: string, text: string): void => {
    whole[id] = `${whole[id] ?? 'NO ORDER'}; ${text}`
  }
  for (const { id, says } of payments) add(id, `payment ${says}`)
  for (const [id, says] of Object.entries(of(inventory, 'reservation'))) add(id, `stock ${says}`)
  return {
    orders: sorted(Object.entries(whole)),
    stock: of(inventory, 'stock'),
    outbox: events('outbox').toSorted(),
    feed: Object.fromEntries(tenants.map((tenant) => [tenant, events(tenant)])),
  }
}

export function expectation(model: Model): Observation {
  const event = (order: ModelOrder): string => `${idOf(order)} order.${order.state}`
  return {
    orders: sorted(model.orders.map((order) => [idOf(order), wordsOf(order)] as const)),
    stock: sorted(
      [...model.stock].map(
        ([id, { available, reserved, sold }]) => [id, `${available} ${reserved} ${sold}`] as const,
      ),
    ),
    outbox: model.outbox.map(event).toSorted(),
    feed: Object.fromEntries(
      model.tenants.map((tenant) => [tenant, (model.feed.get(tenant) ?? []).map(event)]),
    ),
  }
}

function idOf({ tenant, orderId }: ModelOrder): string {
  return `${tenant}/${orderId}`
}

function wordsOf(order: ModelOrder): string {
  const { state, verdict, amount, cancelRequested, payment, refund, reservation } = order
  // A tombstone has no price.
  const paid = payment === 'voided' ? 0 : amount
  const back = refund === 'done' ? amount : 0
  return [
    [state, verdict, amount, ...(cancelRequested ? ['cancel requested'] : [])].join(' '),
    ...(payment === 'none'
      ? []
      : [
          ['payment', payment, paid, 'refunded', back, ...(refund === 'none' ? [] : [refund])].join(
            ' ',
          ),
        ]),
    ...(reservation === 'none' ? [] : [`stock ${reservation}`]),
  ].join('; ')
}

function sorted(entries: readonly (readonly [string, string])[]): Record<string, string> {
  return Object.fromEntries(entries.toSorted(([one], [other]) => (one < other ? -1 : 1)))
}
