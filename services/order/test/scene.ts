/**
 * Order-service on a fresh database between two scripted participants over real HTTP. Everything approves until a
 * test says otherwise, by endpoint.
 */
import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { parseConfig } from '@oms/chassis/config'
import { stopOnce } from '@oms/chassis/lifecycle'
import {
  createTestDatabase,
  createUpstream,
  eventually,
  json,
  type Received,
} from '@oms/chassis/testing'
import { PROBLEM_TYPE_BASE } from '@oms/problem/problem'
import { migrations } from '../migrations/migrations.ts'
import { buildApp, type OrderApp } from '../src/app.ts'
import { configSchema } from '../src/config.ts'
import { type OrderState, STATE_CODES } from '../src/domain/order.ts'

export type Endpoint = 'reserve' | 'release' | 'settle' | 'charge' | 'void' | 'refund' | 'find'

/** Answers one request about one order; `orderId` is empty for a settle. */
export type Script = (response: ServerResponse, orderId: string, request: Received) => unknown

export interface Sent extends Received {
  readonly endpoint: Endpoint
  readonly orderId: string
}

/** What answers hold, whichever it is. */
export interface Body {
  readonly type: string
  readonly status: number
  readonly detail: string
  readonly outcome: string
  readonly order_id: string
  readonly state: string
  readonly verdict: string
  readonly amount_minor: number
  readonly lines: readonly object[]
  readonly items: readonly {
    readonly order_id: string
    readonly seq: number
    readonly type: string
  }[]
  readonly next_cursor: string | null
  readonly last_seq: number
  readonly errors: readonly { readonly pointer: string; readonly detail: string }[]
}

export interface HttpAnswer {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string | string[] | number | undefined>>
  readonly body: string
  json(): Body
}

export interface Line {
  readonly sku: string
  readonly quantity: number
}

export interface OrderRow {
  readonly tenant_id: string
  readonly order_id: string
  readonly fp: Buffer | null
  readonly state: number
  readonly verdict: string
  readonly reason: string | null
  readonly detail: unknown
  readonly currency: string
  readonly amount_minor: string
  readonly lines: readonly unknown[]
  readonly payment_token: string | null
  readonly cancel_requested_at: Date | null
  readonly decide_at: Date
  readonly next_run_at: Date | null
  readonly finished_at: Date | null
  readonly attempt: number
  /** Seconds from the database's now to `next_run_at`. */
  readonly runs_in: number | null
}

export interface LogLine {
  readonly level: number
  readonly msg: string
  readonly order_id?: string
  readonly [name: string]: unknown
}

const PRICES = [
  { tenantId: 'acme', sku: 'BEANS', currency: 'EUR', unitPriceMinor: 1890 },
  { tenantId: 'acme', sku: 'MUG', currency: 'EUR', unitPriceMinor: 1250 },
  { tenantId: 'acme', sku: 'YACHT', currency: 'EUR', unitPriceMinor: 1_000_000_000 },
  { tenantId: 'acme', sku: 'BEANS', currency: 'CHF', unitPriceMinor: 1990 },
  { tenantId: 'globex', sku: 'BEANS', currency: 'EUR', unitPriceMinor: 5 },
]

export const ORDER = {
  currency: 'EUR',
  lines: [{ sku: 'BEANS', quantity: 2 }] as readonly Line[],
  payment_token: 'pm_approve0001',
}

/** 2 × 18.90 EUR. */
export const ORDER_AMOUNT_MINOR = 3780

/** Database connections of a replica, its default. */
const POOL_SIZE = 10

const PAYMENT = '/api/v1/payments'
const RESERVATION = '/api/v1/reservations'

export type Scene = Awaited<ReturnType<typeof createScene>>

export async function createScene(settings: Readonly<Record<string, string>> = {}) {
  const database = await createTestDatabase('oms_order', migrations)
  const upstream = await createUpstream()
  const logs: LogLine[] = []
  const sent: Sent[] = []
  const apps: OrderApp[] = []
  let scripts: Partial<Record<Endpoint, Script>> = {}

  upstream.answer((request, response) => {
    const { endpoint, orderId } = aboutWhat(request)
    sent.push({ ...request, endpoint, orderId })
    const script = scripts[endpoint] ?? APPROVALS[endpoint]
    script(response, orderId, request)
  })

  /** One more replica on the same database, between the same participants. */
  function replica(more: Readonly<Record<string, string>> = {}): OrderApp {
    const config = parseConfig(configSchema, {
      ...database.config,
      DEPLOYMENT: 'local',
      PAYMENT_SERVICE_URL: upstream.origin,
      INVENTORY_SERVICE_URL: upstream.origin,
      ...settings,
      ...more,
    })
    const logStream = { write: (line: string) => void logs.push(JSON.parse(line)) }
    const built = buildApp(config, { logStream })
    apps.push(built)
    return built
  }

  const app = replica()
  let second: OrderApp | undefined
  await warm(app)
  for (const price of PRICES) await app.orders.setPrice(price)

  const { admin } = database

  async function row(orderId: string, tenantId = 'acme'): Promise<OrderRow> {
    const { rows } = await admin.query(
      `SELECT o.*, extract(epoch FROM o.next_run_at - now())::float AS runs_in
         FROM oms.orders o WHERE tenant_id = $1 AND order_id = $2`,
      [tenantId, orderId],
    )
    return rows[0]
  }

  async function orders(): Promise<number> {
    const { rows } = await admin.query('SELECT count(*)::int AS n FROM oms.orders')
    return rows[0].n
  }

  /** Lets the order's lease run out. */
  async function letLeaseEnd(orderId: string): Promise<void> {
    await admin.query(
      'UPDATE oms.orders SET next_run_at = now() WHERE order_id = $1 AND state < 100',
      [orderId],
    )
  }

  /** Recovery passes until the order is in `state`. */
  async function recoverTo(orderId: string, state: OrderState): Promise<OrderRow> {
    return eventually(`order ${orderId} is ${state}`, async () => {
      const now = await row(orderId)
      if (now.state === STATE_CODES[state]) return now
      await letLeaseEnd(orderId)
      await app.recover()
      return false
    })
  }

  /** Opens every connection of a replica: a burst then waits for statements, not for the server to fork. */
  async function warm(on: OrderApp, connections = POOL_SIZE): Promise<void> {
    const key = { tenantId: 'acme', orderId: randomUUID() }
    await eventually('every connection is open', async () => {
      const reads = Array.from({ length: connections }, () => on.orders.find(key))
      return (await Promise.allSettled(reads)).every(({ status }) => status === 'fulfilled')
    })
  }

  /** An order as the database has it after acceptance or later, without a driver; `fields` are SQL expressions. */
  async function given(fields: Readonly<Record<string, string>> = {}, tenantId = 'acme') {
    const orderId = randomUUID()
    const columns: Record<string, string> = {
      tenant_id: `'${tenantId}'`,
      order_id: `'${orderId}'`,
      fp: "'\\x01'",
      state: '10',
      currency: "'EUR'",
      amount_minor: String(ORDER_AMOUNT_MINOR),
      lines: `'[{"sku":"BEANS","quantity":2,"unit_price_minor":1890}]'`,
      payment_token: "'pm_approve0001'",
      decide_at: "now() + interval '60 s'",
      next_run_at: "now() + interval '12 s'",
      ...fields,
    }
    await admin.query(
      `INSERT INTO oms.orders (${Object.keys(columns)}) VALUES (${Object.values(columns).join(', ')})`,
    )
    return orderId
  }

  async function outbox(orderId: string): Promise<readonly string[]> {
    const { rows } = await admin.query('SELECT type FROM oms.outbox WHERE order_id = $1', [orderId])
    return rows.map(({ type }) => type)
  }

  function send(
    method: 'GET' | 'POST',
    url: string,
    headers: Readonly<Record<string, string | undefined>> = {},
    payload?: object | string,
    on: OrderApp = app,
  ): Promise<HttpAnswer> {
    const given = Object.entries({ 'x-tenant-id': 'acme', ...headers })
    return on.server.inject({
      method,
      url,
      headers: Object.fromEntries(given.filter(([, value]) => value !== undefined)),
      ...(payload === undefined ? {} : { payload }),
    })
  }

  return {
    database,
    admin,
    app,
    upstream,
    logs,
    sent,
    replica,
    /** The second replica, always the same. */
    other(): OrderApp {
      second ??= replica()
      return second
    },
    row,
    orders,
    letLeaseEnd,
    recoverTo,
    given,
    warm,
    /** Both replicas, warm. */
    async warmBoth(): Promise<void> {
      second ??= replica()
      await Promise.all([warm(app), warm(second)])
    },
    outbox,
    send,
    /** Answers of `endpoint` from now on, until `approve`. */
    on(endpoint: Endpoint, script: Script): void {
      scripts = { ...scripts, [endpoint]: script }
    },
    /** Everything approves again; what arrived and what was logged is forgotten. */
    approve(): void {
      scripts = {}
      sent.length = 0
      logs.length = 0
    },
    /** The commands that went out for an order, in sequence. */
    commands: (orderId: string) =>
      sent.filter((each) => each.orderId === orderId).map(({ endpoint }) => endpoint),
    place: (
      key: string,
      {
        body = ORDER,
        headers = {},
        on = app,
      }: {
        readonly body?: object | string
        readonly headers?: Readonly<Record<string, string | undefined>>
        readonly on?: OrderApp
      } = {},
    ) => send('POST', '/api/v1/orders', { 'idempotency-key': key, ...headers }, body, on),
    read: (orderId: string, headers = {}) => send('GET', `/api/v1/orders/${orderId}`, headers),
    cancel: (orderId: string, headers = {}, on: OrderApp = app) =>
      send('POST', `/api/v1/orders/${orderId}/cancel`, headers, {}, on),
    verdict: (orderId: string, headers = {}) =>
      send('POST', `/internal/v1/orders/${orderId}/reservation-verdict`, headers, {}),
    errors: (orderId: string) =>
      logs.filter(({ level, order_id }) => level === 50 && order_id === orderId),
    /** Sum of a counter's or gauge's samples that carry these labels. */
    async metric(name: string, labels = '', on: OrderApp = app): Promise<number> {
      const { body } = await on.server.inject({ url: '/metrics' })
      return body
        .split('\n')
        .filter((line) => line.startsWith(name) && line.includes(labels))
        .reduce((sum, line) => sum + Number(line.split(' ')[1]), 0)
    },
    async close(): Promise<void> {
      for (const each of apps) await stopOnce(each.server, 0)()
      await upstream.close()
      await database.drop()
    },
  }
}

function aboutWhat({ method, path, body }: Received): { endpoint: Endpoint; orderId: string } {
  const named = (body as { order_id?: string } | undefined)?.order_id ?? ''
  if (path === PAYMENT) return { endpoint: 'charge', orderId: named }
  if (path === RESERVATION) return { endpoint: 'reserve', orderId: named }
  if (path === `${RESERVATION}/settle`) return { endpoint: 'settle', orderId: '' }
  const [orderId = '', verb = 'find'] = path.split('/').slice(4)
  if (method === 'GET') return { endpoint: 'find', orderId }
  return { endpoint: verb as Endpoint, orderId }
}

export function payment(
  response: ServerResponse,
  status: number,
  orderId: string,
  fields: object = {},
): void {
  json(response, status, {
    order_id: orderId,
    state: 'captured',
    currency: 'EUR',
    amount_minor: ORDER_AMOUNT_MINOR,
    psp_ref: 'ch_1',
    decline_code: null,
    refund_no: 0,
    created_at: '2026-01-01T00:00:00.000Z',
    decided_at: null,
    refunded_minor: 0,
    ...fields,
  })
}

export function reservation(
  response: ServerResponse,
  status: number,
  orderId: string,
  state: string,
): void {
  json(response, status, { order_id: orderId, state, lines: ORDER.lines })
}

export function refund(
  response: ServerResponse,
  status: number,
  orderId: string,
  state: string,
): void {
  json(response, status, {
    order_id: orderId,
    refund_no: 1,
    state,
    amount_minor: ORDER_AMOUNT_MINOR,
  })
}

export function problem(
  response: ServerResponse,
  status: number,
  slug: string,
  orderId: string,
  members: object = {},
): void {
  response.writeHead(status, { 'content-type': 'application/problem+json' }).end(
    JSON.stringify({
      type: PROBLEM_TYPE_BASE + slug,
      title: slug,
      status,
      detail: `${slug} of ${orderId}`,
      instance: '/',
      retryable: false,
      outcome: 'final',
      order_id: orderId,
      ...members,
    }),
  )
}

const APPROVALS: Readonly<Record<Endpoint, Script>> = {
  reserve: (response, orderId) => reservation(response, 201, orderId, 'held'),
  release: (response, orderId) => reservation(response, 200, orderId, 'released'),
  settle: (response, _orderId, { body }) =>
    json(response, 200, {
      items: (body as { order_ids: readonly string[] }).order_ids.map((order_id) => ({
        order_id,
        state: 'committed',
      })),
    }),
  charge: (response, orderId) => payment(response, 201, orderId),
  void: (response, orderId) => payment(response, 200, orderId, { state: 'voided' }),
  refund: (response, orderId) => refund(response, 201, orderId, 'done'),
  find: (response, orderId) => payment(response, 200, orderId),
}
