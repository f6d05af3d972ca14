/** Payment-service on a database of its own, with a card processor whose answers the test chooses. */
import { parseConfig } from '@oms/chassis/config'
import { stopOnce } from '@oms/chassis/lifecycle'
import {
  createTestDatabase,
  createUpstream,
  json,
  type Received,
  type TestDatabase,
  type Upstream,
} from '@oms/chassis/testing'
import { migrations } from '../migrations/migrations.ts'
import { buildApp, type PaymentApp } from '../src/app.ts'
import { configSchema } from '../src/config.ts'

export interface Harness {
  readonly app: PaymentApp
  readonly database: TestDatabase
  readonly processor: Upstream
  readonly log: string[]
  post(path: string, body?: object, headers?: Record<string, string>): Promise<Answer>
  get(path: string, headers?: Record<string, string>): Promise<Answer>
  charge(orderId: string, fields?: object, headers?: Record<string, string>): Promise<Answer>
  refund(orderId: string, headers?: Record<string, string>): Promise<Answer>
  void(orderId: string, headers?: Record<string, string>): Promise<Answer>
  /** Makes what has no verdict due now and runs one pass over it. */
  resume(orderId: string): Promise<void>
  /** The payment's row, as superuser. */
  row(orderId: string): Promise<Record<string, unknown> | undefined>
  stop(): Promise<void>
}

export type Answer = Awaited<ReturnType<PaymentApp['server']['inject']>>

/** Of a payment as it is shown, in their order. */
export const PAYMENT_MEMBERS = [
  'order_id',
  'state',
  'currency',
  'amount_minor',
  'psp_ref',
  'decline_code',
  'refund_no',
  'created_at',
  'decided_at',
]

export const CHARGED = { amount_minor: 1999, currency: 'EUR', payment_token: 'pm_approve0001' }

export async function startPayment(env: Record<string, string> = {}): Promise<Harness> {
  const database = await createTestDatabase('oms_payment', migrations)
  const processor = await createUpstream()
  const log: string[] = []
  const app = buildApp(
    parseConfig(configSchema, {
      ...database.config,
      DEPLOYMENT: 'local',
      PSP_URL: processor.origin,
      ...env,
    }),
    { logStream: { write: (line) => void log.push(line) } },
  )
  // As `run` does; the connections are made before the first burst.
  for (const step of app.server.chassis.boot) await step()
  const tenant = { 'x-tenant-id': 'acme' }

  const post: Harness['post'] = (path, body, headers = {}) =>
    app.server.inject({
      method: 'POST',
      url: path,
      ...(body === undefined ? {} : { payload: body }),
      headers: { ...tenant, ...headers },
    })

  return {
    app,
    database,
    processor,
    log,
    post,
    get: (path, headers = {}) =>
      app.server.inject({ url: path, headers: { ...tenant, ...headers } }),
    charge: (orderId, fields = {}, headers = {}) =>
      post(
        '/api/v1/payments',
        { order_id: orderId, ...CHARGED, ...fields },
        { 'idempotency-key': orderId, 'x-order-id': orderId, ...headers },
      ),
    refund: (orderId, headers = {}) =>
      post(
        `/api/v1/payments/${orderId}/refund`,
        { refund_no: 1 },
        { 'idempotency-key': `${orderId}:r1`, ...headers },
      ),
    void: (orderId, headers = {}) => post(`/api/v1/payments/${orderId}/void`, undefined, headers),
    async resume(orderId) {
      for (const table of ['payment', 'refund'])
        await database.admin.query(
          `UPDATE oms.${table} SET next_run_at = now() WHERE order_id = $1 AND state = 1`,
          [orderId],
        )
      await app.resume()
    },
    async row(orderId) {
      const { rows } = await database.admin.query('SELECT * FROM oms.payment WHERE order_id = $1', [
        orderId,
      ])
      return rows[0]
    },
    async stop() {
      await stopOnce(app.server, 0)()
      await processor.close()
      await database.drop()
    },
  }
}

/** What a processor says to one request, by its own rules. */
export function verdict(received: Received, fields: object = {}): object {
  const key = String(received.headers['idempotency-key'])
  return {
    id: key.includes(':r') ? 're_1' : 'ch_1',
    idempotency_key: key,
    merchant_reference: (received.body as { merchant_reference: string }).merchant_reference,
    status: 'succeeded',
    decline_code: null,
    ...fields,
  }
}

export function approves({ processor }: Harness): void {
  processor.received.length = 0
  processor.answer((received, response) => json(response, 200, verdict(received)))
}
