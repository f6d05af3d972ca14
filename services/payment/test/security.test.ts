import { parseConfig } from '@oms/chassis/config'
import { json } from '@oms/chassis/testing'
import { describeSecurity } from '@oms/chassis/testing-security'
import { WIRE } from '@oms/contracts/headers'
import { migrations } from '../migrations/migrations.ts'
import { buildApp } from '../src/app.ts'
import { configSchema } from '../src/config.ts'
import { CHARGED, PAYMENT_MEMBERS, verdict } from './harness.ts'

const ids = (id: string, key = id) => ({
  'idempotency-key': key,
  'x-order-id': id,
  'x-request-deadline-ms': '1500',
})
const charge = (id: string) => ({
  method: 'POST' as const,
  url: '/api/v1/payments',
  headers: ids(id),
  body: { order_id: id, ...CHARGED },
})
const voiding = (id: string) => ({
  method: 'POST' as const,
  url: `/api/v1/payments/${id}/void`,
  headers: ids(id),
  body: {},
})
const refund = (id: string) => ({
  method: 'POST' as const,
  url: `/api/v1/payments/${id}/refund`,
  headers: ids(id, `${id}:r1`),
  body: { refund_no: 1 },
})

describeSecurity({
  role: 'oms_payment',
  migrations,
  wire: WIRE,
  build: (database, origin, overrides) =>
    buildApp(
      parseConfig(configSchema, { ...database, DEPLOYMENT: 'local', PSP_URL: origin }),
      overrides,
    ).server,
  answer: (received, response) => json(response, 200, verdict(received)),
  furnish: async () => undefined,
  routes: {
    'POST /api/v1/payments': { call: charge, foreign: 201, shows: PAYMENT_MEMBERS },
    'GET /api/v1/payments/:orderId': {
      call: (id) => ({ method: 'GET', url: `/api/v1/payments/${id}`, headers: ids(id) }),
      shows: [...PAYMENT_MEMBERS, 'refunded_minor'],
    },
    // The fence of an order that was never charged: a tombstone, of its own tenant.
    'POST /api/v1/payments/:orderId/void': { call: voiding, foreign: 200, shows: PAYMENT_MEMBERS },
    'POST /api/v1/payments/:orderId/refund': {
      call: refund,
      shows: ['order_id', 'refund_no', 'state', 'amount_minor'],
    },
  },
  codes: [],
  owned: {
    captured: (id) => [charge(id)],
    voided: (id) => [voiding(id)],
    refunded: (id) => [charge(id), refund(id)],
  },
})
