import { parseConfig } from '@oms/chassis/config'
import { describeSecurity } from '@oms/chassis/testing-security'
import { WIRE } from '@oms/contracts/headers'
import { migrations } from '../migrations/migrations.ts'
import { buildApp } from '../src/app.ts'
import { configSchema } from '../src/config.ts'
import { line } from './service.ts'

const RESERVATION_MEMBERS = ['order_id', 'state', 'lines', 'lines.[].sku', 'lines.[].quantity']

/** Of acme alone; the UUID makes it as easy to find in an answer as an order. */
const OF_ACME = 'ACME-00000000-0000-4000-8000-00000000ACE1'

const ids = (id: string) => ({
  'idempotency-key': id,
  'x-order-id': id,
  'x-request-deadline-ms': '700',
})
const reserve = (id: string) => ({
  method: 'POST' as const,
  url: '/api/v1/reservations',
  headers: ids(id),
  body: { order_id: id, lines: [line('BEANS')] },
})
const ending = (how: string) => (id: string) => ({
  method: 'POST' as const,
  url: `/api/v1/reservations/${id}/${how}`,
  headers: ids(id),
  body: {},
})

describeSecurity({
  role: 'oms_inventory',
  migrations,
  wire: WIRE,
  build: (database, origin, overrides) =>
    buildApp(
      parseConfig(configSchema, { ...database, DEPLOYMENT: 'local', ORDER_SERVICE_URL: origin }),
      overrides,
    ).server,
  answer: (_request, response) => void response.writeHead(500).end(),
  furnish: (database, tenant) =>
    database.query(`SELECT oms.set_stock($1, sku, 1000000) FROM unnest($2::text[]) AS sku`, [
      tenant,
      tenant === 'acme' ? ['BEANS', OF_ACME] : ['BEANS'],
    ]),
  routes: {
    'POST /api/v1/reservations': { call: reserve, foreign: 201, shows: RESERVATION_MEMBERS },
    'GET /api/v1/reservations/:orderId': {
      call: (id) => ({ method: 'GET', url: `/api/v1/reservations/${id}`, headers: ids(id) }),
      shows: [...RESERVATION_MEMBERS, 'expires_at'],
    },
    // The fence of an order that never reserved: a tombstone, of its own tenant.
    'POST /api/v1/reservations/:orderId/release': {
      call: ending('release'),
      foreign: 200,
      shows: RESERVATION_MEMBERS,
    },
    'POST /api/v1/reservations/:orderId/settle': {
      call: ending('settle'),
      shows: RESERVATION_MEMBERS,
    },
    'POST /api/v1/reservations/settle': {
      call: (id) => ({
        method: 'POST',
        url: '/api/v1/reservations/settle',
        body: { order_ids: [id] },
      }),
      foreign: 200,
      shows: ['items', 'items.[].order_id', 'items.[].state'],
    },
    'GET /api/v1/stock': {
      call: () => ({
        method: 'GET',
        url: `/api/v1/stock?sku=BEANS&sku=${OF_ACME}&limit=100&cursor=${Buffer.from('A').toString('base64url')}`,
      }),
      foreign: 200,
      shows: [
        'items',
        ...['sku', 'available', 'reserved', 'sold'].map((name) => `items.[].${name}`),
        'next_cursor',
      ],
    },
  },
  codes: ['sku'],
  owned: {
    held: (id) => [reserve(id)],
    sold: (id) => [reserve(id), ending('settle')(id)],
    released: (id) => [reserve(id), ending('release')(id)],
  },
})
