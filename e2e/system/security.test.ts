/** The rows of docs/security.md that only the whole system can show: its programs, databases and logs together. */
import { randomBytes, randomUUID } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { freePort } from '@oms/chassis/embedded-postgres'
import { containsPan } from '@oms/chassis/redact'
import { eventually, TEST_PASSWORD } from '@oms/chassis/testing'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { type Program, ProgramError } from './program.ts'
import { openSlowSockets, type SlowSockets, sendRaw } from './raw-sockets.ts'
import { SERVICES, type Service } from './system.ts'
import { startTestSystem, type TestSystem } from './testing.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const SLOW_SOCKETS = 500
const SLOW_ENDS_WITHIN_MS = 15_000

/** What an order may be told where its participants are slow. */
const ACCEPTED: readonly (number | string)[] = [201, 202]

let running: TestSystem
let slow: SlowSockets
/** Who asks meanwhile: statuses. */
const others: (number | string)[] = []
let asking: Promise<void>

beforeAll(async () => {
  running = await startTestSystem()
  slow = openSlowSockets(SLOW_SOCKETS, Number(new URL(running.system.urls.order).port))
  asking = askOn()
})
afterAll(() => running.close())

async function askOn(): Promise<void> {
  while (slow.open() > 0) {
    const status = await running.client.place().then(
      (answer) => answer.status,
      (error: Error) => error.message,
    )
    others.push(status)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function post(
  service: Service,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: unknown,
): Promise<Response> {
  return fetch(running.system.urls[service] + path, {
    method: 'POST',
    headers: { 'x-tenant-id': 'acme', 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
}

const get = (service: Service, path: string, headers: Readonly<Record<string, string>> = {}) =>
  fetch(running.system.urls[service] + path, { headers: { 'x-tenant-id': 'acme', ...headers } })

const stateDir = () => dirname(dirname(running.system.programs.order.logFile))

/** Every log of every program, replicas too. */
function logs(): readonly string[] {
  const folder = join(stateDir(), 'logs')
  return readdirSync(folder).flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
}

describe('bytes that two readers would understand differently', () => {
  const HEAD = 'POST /api/v1/orders HTTP/1.1\r\nhost: x\r\nx-tenant-id: acme\r\n'
  test.each([
    ['two lengths', `${HEAD}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['a folded header', `${HEAD}x-a: b\r\n c\r\ncontent-length: 2\r\n\r\n{}`],
    ['a bad chunk', `${HEAD}transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n`],
  ])('end the connection with 400 at every program: %s', async (_what, bytes) => {
    for (const service of SERVICES) {
      const answer = await sendRaw(Number(new URL(running.system.urls[service]).port), bytes)
      expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n(?!.*^HTTP\/1\.1)/ms)
    }
  })
})

describe('a role', () => {
  test.each(SERVICES)('of %s connects to no other service’s database', async (service) => {
    for (const other of SERVICES.filter((each) => each !== service))
      for (const role of [`oms_${service}`, `oms_${service}_owner`]) {
        const url = new URL(`${inject('postgresUrl')}/${await databaseOf(other)}`)
        url.username = role
        url.password = TEST_PASSWORD
        const client = new pg.Client(url.href)
        await expect(client.connect()).rejects.toMatchObject({ code: '42501' })
      }
  })

  test.each(SERVICES)('of %s connects to its own', async (service) => {
    const url = new URL(`${inject('postgresUrl')}/${await databaseOf(service)}`)
    url.username = `oms_${service}`
    url.password = TEST_PASSWORD
    const client = new pg.Client(url.href)
    await client.connect()
    await client.end()
  })
})

async function databaseOf(service: Service): Promise<string> {
  const [row] = await running.query<{ name: string }>(service, 'SELECT current_database() AS name')
  return row?.name ?? ''
}

describe('programs with secrets of their own', () => {
  const suffix = randomBytes(6).toString('hex')
  const canary = (what: string): string => `canary-${what}-${suffix}`
  /** Each says so before anything else of it runs. */
  const TELL_PROTO = `--import=data:text/javascript,${encodeURIComponent(
    'console.log("proto:", Object.hasOwn(Object.prototype, "__proto__"))',
  )}`
  const replicas: Program[] = []
  const urls: string[] = []
  const shown: string[] = []

  /** A role that may do what the service may, under a password that nobody else has. */
  async function roleOf(service: Service): Promise<string> {
    const role = `oms_${service}_${suffix}`
    await running.query(
      service,
      `CREATE ROLE ${role} LOGIN PASSWORD '${canary(service)}' IN ROLE oms_${service}`,
    )
    return role
  }

  async function replicaOf(service: Service, role: string, password: string): Promise<string> {
    const file = join(stateDir(), 'secrets', `${service}-${replicas.length}`)
    writeFileSync(file, `${password}\n`, { mode: 0o600 })
    const database = new URL(inject('postgresUrl')).host
    const port = await freePort()
    replicas.push(
      running.system.replica(service, port, {
        DATABASE_URL: `postgres://${role}@${database}/${await databaseOf(service)}`,
        DATABASE_PASSWORD_FILE: file,
        LOG_LEVEL: 'debug',
        NODE_OPTIONS: TELL_PROTO,
      }),
    )
    return `http://127.0.0.1:${port}`
  }

  beforeAll(async () => {
    for (const service of SERVICES)
      urls.push(await replicaOf(service, await roleOf(service), canary(service)))
    await Promise.all(replicas.map((replica) => replica.start()))
  })
  afterAll(async () => {
    await Promise.all(replicas.map((replica) => replica.stop()))
    for (const service of SERVICES)
      await running.query(service, `DROP ROLE oms_${service}_${suffix}`)
  })

  async function ask(url: string, init: RequestInit = {}): Promise<number> {
    const answer = await fetch(url, {
      ...init,
      headers: {
        'x-tenant-id': 'acme',
        authorization: `Bearer ${canary('bearer')}`,
        cookie: canary('cookie'),
        ...(init.headers as Record<string, string>),
      },
    })
    shown.push(JSON.stringify([...answer.headers]), await answer.text())
    return answer.status
  }

  const place = (token: string) =>
    ask(`${urls[0]}/api/v1/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': randomUUID() },
      body: JSON.stringify({
        currency: 'EUR',
        lines: [{ sku: 'MOKA-POT', quantity: 1 }],
        payment_token: token,
      }),
    })

  test('show none in a log line, metric, answer or message, whatever goes wrong', async () => {
    const token = `pm_approve${suffix}`
    expect(ACCEPTED).toContain(await place(token))
    expect(await place(`${token}!`)).toBe(400)
    // Connections die under the services, which then go on.
    for (const service of SERVICES)
      await running.query(
        service,
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1',
        [`oms_${service}_${suffix}`],
      )
    await eventually('their log lines', () =>
      logs().some((line) => line.includes('connection lost')),
    )
    await eventually('an order after that', async () => ACCEPTED.includes(await place(token)))
    await replicaOf('payment', `oms_payment_${suffix}`, canary('wrong'))
    const refusal = await replicas
      .at(-1)
      ?.start()
      .catch((error: ProgramError) => error)
    expect(refusal).toBeInstanceOf(ProgramError)
    shown.push(String(refusal))
    expect(String(refusal)).toContain('password authentication failed')
    for (const url of urls)
      for (const path of ['/metrics', '/health', '/ready', '/nowhere', '/%zz'])
        await ask(url + path)
    const told = [...logs(), ...shown].join('\n')
    for (const secret of [token, ...[...SERVICES, 'wrong', 'bearer', 'cookie'].map(canary)])
      expect(told).not.toContain(secret)
  })

  test('have no prototype to set: it is deleted from them, and from the image', () => {
    const lines = logs().filter((line) => line.startsWith('proto: '))
    expect(lines).toEqual(replicas.map(() => 'proto: false'))
    expect(readFileSync(join(ROOT, 'Dockerfile'), 'utf8')).toMatch(
      /^ENV NODE_OPTIONS=.*--disable-proto=delete/m,
    )
  })
})

describe('a card number', () => {
  const PAN = '4111111111111111'
  const SEEN = /1111[ -]?1111[ -]?1111/

  test('that callers send to any service is refused', async () => {
    const order = randomUUID()
    const body = {
      currency: 'EUR',
      lines: [{ sku: 'MOKA-POT', quantity: 1 }],
      payment_token: 'pm_approve0001',
    }
    const ids = { 'idempotency-key': order, 'x-order-id': order }
    const charge = {
      order_id: order,
      amount_minor: 1,
      currency: 'EUR',
      payment_token: 'pm_approve0001',
    }
    const answers = await Promise.all([
      post('order', '/api/v1/orders', ids, { ...body, payment_token: `pm_${PAN}` }),
      post('order', '/api/v1/orders', ids, { ...body, note: '4111 1111 1111 1111' }),
      post('order', '/api/v1/orders', ids, { ...body, note: Number(PAN) }),
      post('order', '/api/v1/orders', { 'idempotency-key': `order-${PAN}` }, body),
      post('order', `/api/v1/orders/${order}/cancel`, ids, { reason: PAN }),
      post('payment', '/api/v1/payments', ids, { ...charge, payment_token: `pm_${PAN}` }),
      post('payment', `/api/v1/payments/${order}/void`, ids, { [PAN]: 1 }),
      post('inventory', '/api/v1/reservations', ids, { order_id: order, lines: [{ note: PAN }] }),
      post('inventory', '/api/v1/reservations/settle', {}, { order_ids: [PAN] }),
    ])
    for (const answer of answers) {
      expect(answer.status).toBe(400)
      expect(await answer.json()).toMatchObject({
        type: 'https://oms.example/problems/pan-rejected',
        outcome: 'not_executed',
      })
    }
  })

  test('that callers put where nobody reads is shown by nobody', async () => {
    const everywhere = {
      'x-request-id': PAN,
      'x-b3-sampled': PAN,
      'x-forwarded-client-cert': `URI=spiffe://${PAN}`,
      'x-envoy-attempt-count': PAN,
      'user-agent': PAN,
      cookie: PAN,
    }
    for (const service of SERVICES)
      for (const path of [`/${PAN}`, `/%34${PAN.slice(1)}`, `/api/v1/orders?card=${PAN}`])
        expect(await (await get(service, path, everywhere)).text()).not.toMatch(SEEN)
  })

  test('is in no row of the databases and in no log, after orders of every kind', async () => {
    const orders = ['pm_approve0001', 'pm_decline0001', 'pm_error0000001', 'pm_lost00000001']
    await Promise.all(orders.map((token) => running.client.placeToEnd({ token })))
    expect(await cardNumbersInDatabases()).toEqual([])
    expect(logs().filter((line) => SEEN.test(line))).toEqual([])
    expect(logs().filter((line) => containsPan(withoutTraces(line)))).toEqual([])
  })

  /** Hashes and the processor's ids are random: now and then one has the form of a card number. */
  const EXEMPT = ['fp', 'sku', 'psp_ref']

  async function cardNumbersInDatabases(): Promise<readonly string[]> {
    const found: string[] = []
    for (const service of SERVICES) {
      const columns = await running.query<{ table: string; column: string }>(
        service,
        `SELECT table_name AS table, column_name AS column FROM information_schema.columns WHERE table_schema = 'oms'`,
      )
      for (const { table, column } of columns.filter((each) => !EXEMPT.includes(each.column))) {
        const rows = await running.query<{ text: string | null }>(
          service,
          `SELECT ${column}::text AS text FROM oms.${table}`,
        )
        for (const { text } of rows)
          if (SEEN.test(text ?? '') || containsPan(withoutSkus(text ?? '')))
            found.push(`${service} ${table}.${column}: ${text}`)
      }
    }
    return found
  }

  const withoutSkus = (text: string): string => text.replaceAll(/"sku": "[^"]*"/g, '')

  const withoutTraces = (line: string): string =>
    line.replaceAll(/"(?:trace_id|span_id)":"[0-9a-f]*"/g, '')
})

test('500 slow senders are closed within 15 s, and at least 95 % of the others are served', async () => {
  const ends = await slow.ended
  await asking
  expect(ends).toHaveLength(SLOW_SOCKETS)
  // A byte that crosses the answer may reset the connection before it is read.
  expect(ends.filter(({ answer }) => !/^(HTTP\/1\.1 408 |$)/.test(answer))).toEqual([])
  expect(Math.max(...ends.map(({ ms }) => ms))).toBeLessThanOrEqual(
    SLOW_ENDS_WITHIN_MS + slow.lagMs(),
  )
  const served = others.filter((status) => ACCEPTED.includes(status))
  expect(served.length / others.length).toBeGreaterThanOrEqual(0.95)
})

test('after all of it the feeds have no gap and the audit is green', async () => {
  await running.requireGreenAudit(15)
  const feeds = await running.query(
    'order',
    'SELECT tenant_id, count(*) = max(seq) AND min(seq) = 1 AS whole FROM oms.order_event GROUP BY 1',
  )
  expect(feeds).toEqual([{ tenant_id: 'acme', whole: true }])
})
