import { parseConfig } from '@oms/chassis/config'
import { describeSecurity } from '@oms/chassis/testing-security'
import { WIRE } from '@oms/contracts/headers'
import { migrations } from '../migrations/migrations.ts'
import { buildApp } from '../src/app.ts'
import { configSchema } from '../src/config.ts'
import { ORDER, payment, problem, reservation } from './scene.ts'

/** Its charge is never answered, so that its order has no end. */
const UNANSWERED = 'pm_unanswered01'

const ORDER_MEMBERS = [
  'order_id',
  'state',
  'reason',
  'currency',
  'amount_minor',
  'lines',
  'lines.[].sku',
  'lines.[].quantity',
  'lines.[].unit_price_minor',
  'created_at',
  'finished_at',
]
const EVENT_MEMBERS = [
  'seq',
  'type',
  'order_id',
  'created_at',
  'body',
  'body.state',
  'body.currency',
  'body.amount_minor',
]
const listed = (members: readonly string[]) => [
  'items',
  ...members.map((name) => `items.[].${name}`),
]

/** Before it stands every order. */
const CURSOR = Buffer.from(
  '2999-01-01T00:00:00.000000Z ffffffff-ffff-4fff-8fff-ffffffffffff',
).toString('base64url')

const place = (id: string, token = ORDER.payment_token) => ({
  method: 'POST' as const,
  url: '/api/v1/orders',
  headers: { 'idempotency-key': id, 'x-request-deadline-ms': '9000' },
  body: { ...ORDER, payment_token: token },
})
const cancel = (id: string) => ({
  method: 'POST' as const,
  url: `/api/v1/orders/${id}/cancel`,
  headers: { 'x-order-id': id },
  body: {},
})

describeSecurity({
  role: 'oms_order',
  migrations,
  wire: WIRE,
  build: (database, origin, overrides) =>
    buildApp(
      parseConfig(configSchema, {
        ...database,
        DEPLOYMENT: 'local',
        PAYMENT_SERVICE_URL: origin,
        INVENTORY_SERVICE_URL: origin,
        TENANT_ORDERS_PER_SECOND: '100000',
        TENANT_CANCELS_PER_SECOND: '100000',
      }),
      overrides,
    ).server,
  answer({ path, headers, body }, response) {
    const id = String(headers['x-order-id'])
    const { payment_token: token } = (body ?? {}) as { payment_token?: string }
    if (path.endsWith('/release')) reservation(response, 200, id, 'released')
    else if (path.startsWith('/api/v1/reservations')) reservation(response, 201, id, 'held')
    else if (path.endsWith('/void')) payment(response, 200, id, { state: 'voided' })
    else if (token === UNANSWERED) problem(response, 503, 'unavailable', id)
    else payment(response, 201, id)
  },
  furnish: (database, tenant) =>
    database.query(
      `WITH tail AS (INSERT INTO oms.event_tail (tenant_id, last_seq) VALUES ($1, 1)),
         event AS (INSERT INTO oms.order_event (tenant_id, seq, order_id, type, body)
           VALUES ($1, 1, gen_random_uuid(), 'order.confirmed', '{"state":"confirmed","currency":"EUR","amount_minor":1}'))
       INSERT INTO oms.price (tenant_id, sku, currency, unit_price_minor) VALUES ($1, 'BEANS', 'EUR', 1890)`,
      [tenant],
    ),
  routes: {
    'POST /api/v1/orders': { call: place, foreign: 201, shows: ORDER_MEMBERS },
    'GET /api/v1/orders': {
      call: () => ({
        method: 'GET',
        url: `/api/v1/orders?limit=100&state=confirmed&cursor=${CURSOR}`,
      }),
      foreign: 200,
      shows: [...listed(ORDER_MEMBERS), 'next_cursor'],
    },
    'GET /api/v1/orders/events': {
      call: () => ({ method: 'GET', url: '/api/v1/orders/events?limit=100&after=0' }),
      foreign: 200,
      shows: [...listed(EVENT_MEMBERS), 'last_seq'],
    },
    'GET /api/v1/orders/:orderId': {
      call: (id) => ({ method: 'GET', url: `/api/v1/orders/${id}`, headers: { 'x-order-id': id } }),
      shows: ORDER_MEMBERS,
    },
    'POST /api/v1/orders/:orderId/cancel': { call: cancel, shows: ORDER_MEMBERS },
    // Inventory asks about an order that is lost: a tombstone, of its own tenant.
    'POST /internal/v1/orders/:orderId/reservation-verdict': {
      call: (id) => ({
        method: 'POST',
        url: `/internal/v1/orders/${id}/reservation-verdict`,
        headers: { 'x-order-id': id, 'idempotency-key': id },
        body: {},
      }),
      foreign: 200,
      shows: ['order_id', 'verdict'],
    },
  },
  codes: ['sku', 'after'],
  owned: {
    confirmed: (id) => [place(id)],
    'under way': (id) => [place(id, UNANSWERED)],
    cancelled: (id) => [place(id, UNANSWERED), cancel(id)],
  },
})
