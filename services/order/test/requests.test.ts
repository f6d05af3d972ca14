import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createScene, type HttpAnswer, ORDER, type Scene } from './scene.ts'

let scene: Scene
beforeAll(async () => {
  scene = await createScene()
})
afterAll(() => scene.close())
beforeEach(() => scene.approve())

const JSON_TYPE = { 'content-type': 'application/json' }
const line = (fields: object) => ({ ...ORDER, lines: [{ sku: 'BEANS', quantity: 1, ...fields }] })
const PAN = '4111111111111111'

/** A documented refusal that gives nothing of the inside away and left nothing behind. */
async function refused(
  answer: HttpAnswer,
  status: number,
  slug: string,
  before: number,
): Promise<void> {
  expect([answer.statusCode, answer.body]).toEqual([status, expect.any(String)])
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/)
  expect(answer.json()).toMatchObject({
    type: `https://oms.example/problems/${slug}`,
    status,
    title: expect.any(String),
    detail: expect.any(String),
    instance: expect.stringMatching(/^\//),
    outcome: 'not_executed',
  })
  expect(answer.body).not.toMatch(/ at |node_modules|\.ts:|SELECT|127\.0\.0\.1|oms_order/)
  expect(await scene.orders()).toBe(before)
  expect(scene.sent).toEqual([])
}

describe('the body of POST /api/v1/orders', () => {
  test.each<[string, object | string, string]>([
    ['nothing', '', '/body'],
    ['null', 'null', '/body'],
    ['a list', '[]', '/body'],
    ['a text', '"x"', '/body'],
    ['no currency', { lines: ORDER.lines, payment_token: ORDER.payment_token }, '/body'],
    ['no lines', { currency: 'EUR', payment_token: ORDER.payment_token }, '/body'],
    ['no token', { currency: 'EUR', lines: ORDER.lines }, '/body'],
    ['a price of the client’s', line({ unit_price_minor: 1 }), '/body/lines/0/unit_price_minor'],
    ['an amount of the client’s', { ...ORDER, amount_minor: 1 }, '/body/amount_minor'],
    ['a state', { ...ORDER, state: 'confirmed' }, '/body/state'],
    ['a tenant', { ...ORDER, tenant_id: 'globex' }, '/body/tenant_id'],
    ['an order id', { ...ORDER, order_id: randomUUID() }, '/body/order_id'],
    ['a currency in lower case', { ...ORDER, currency: 'eur' }, '/body/currency'],
    ['a currency of four letters', { ...ORDER, currency: 'EURO' }, '/body/currency'],
    ['a currency with a newline', { ...ORDER, currency: 'EUR\n' }, '/body/currency'],
    ['a number for a currency', { ...ORDER, currency: 978 }, '/body/currency'],
    ['no line', { ...ORDER, lines: [] }, '/body/lines'],
    [
      '51 lines',
      { ...ORDER, lines: Array.from({ length: 51 }, (_, i) => ({ sku: `S${i}`, quantity: 1 })) },
      '/body/lines',
    ],
    ['one line, not in a list', { ...ORDER, lines: ORDER.lines[0] }, '/body/lines'],
    ['a SKU twice', { ...ORDER, lines: [...ORDER.lines, ...ORDER.lines] }, '/body/lines/1/sku'],
    ['a SKU in lower case', line({ sku: 'beans' }), '/body/lines/0/sku'],
    ['a SKU of 65 characters', line({ sku: 'S'.repeat(65) }), '/body/lines/0/sku'],
    ['a SKU with a quote', line({ sku: "B'; DROP TABLE oms.orders;--" }), '/body/lines/0/sku'],
    ['a SKU with a NUL', line({ sku: 'BEANS\0' }), '/body/lines/0/sku'],
    ['a URL for a SKU', line({ sku: 'http://169.254.169.254/' }), '/body/lines/0/sku'],
    ['a quantity of 0', line({ quantity: 0 }), '/body/lines/0/quantity'],
    ['a negative quantity', line({ quantity: -1 }), '/body/lines/0/quantity'],
    ['half a piece', line({ quantity: 1.5 }), '/body/lines/0/quantity'],
    ['a quantity above 10^6', line({ quantity: 1_000_001 }), '/body/lines/0/quantity'],
    ['a quantity as text', line({ quantity: '1' }), '/body/lines/0/quantity'],
    ['a quantity of null', line({ quantity: null }), '/body/lines/0/quantity'],
    ['a quantity of true', line({ quantity: true }), '/body/lines/0/quantity'],
    ['a short token', { ...ORDER, payment_token: 'pm_1234567' }, '/body/payment_token'],
    ['a long token', { ...ORDER, payment_token: `pm_${'a'.repeat(65)}` }, '/body/payment_token'],
    [
      'a token of another kind',
      { ...ORDER, payment_token: 'tok_approve0001' },
      '/body/payment_token',
    ],
    [
      'a token with a newline',
      { ...ORDER, payment_token: 'pm_approve0001\n' },
      '/body/payment_token',
    ],
  ])('is refused with %s, and the fault is named', async (_what, body, pointer) => {
    const before = await scene.orders()
    const answer = await scene.place(randomUUID(), { body, headers: JSON_TYPE })
    await refused(answer, 400, 'invalid-request', before)
    expect(answer.json().errors[0]?.pointer).toContain(pointer)
  })

  test.each<[string, string]>([
    ['half of JSON', '{"currency":'],
    ['JSON and more', `${JSON.stringify(ORDER)}x`],
    ['10,000 lists in one another', `${'['.repeat(10_000)}${']'.repeat(10_000)}`],
    ['a prototype', `{"__proto__":{"admin":true},${JSON.stringify(ORDER).slice(1)}`],
    [
      'a constructor’s prototype',
      `{"constructor":{"prototype":{"admin":true}},${JSON.stringify(ORDER).slice(1)}`,
    ],
    ['an escaped prototype', `{"\\u005f_proto__":{"admin":true},${JSON.stringify(ORDER).slice(1)}`],
    ['NaN', JSON.stringify(line({})).replace('1', 'NaN')],
  ])('is refused where it is %s', async (_what, body) => {
    const before = await scene.orders()
    await refused(
      await scene.place(randomUUID(), { body, headers: JSON_TYPE }),
      400,
      'invalid-request',
      before,
    )
    expect(({} as { admin?: unknown }).admin).toBeUndefined()
  })

  test('is refused above 64 KiB: 413', async () => {
    const before = await scene.orders()
    const body = JSON.stringify(ORDER).padEnd(65_537, ' ')
    await refused(
      await scene.place(randomUUID(), { body, headers: JSON_TYPE }),
      413,
      'content-too-large',
      before,
    )
    const most = JSON.stringify(ORDER).padEnd(65_536, ' ')
    expect((await scene.place(randomUUID(), { body: most, headers: JSON_TYPE })).statusCode).toBe(
      201,
    )
  })

  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/json; charset=latin1',
    'application/jsonp',
    'application/json\ta',
    'application/problem+json',
    'application/json, text/plain',
  ])('is refused as %s: 415', async (type) => {
    const before = await scene.orders()
    const answer = await scene.place(randomUUID(), {
      body: JSON.stringify(ORDER),
      headers: { 'content-type': type },
    })
    await refused(answer, 415, 'unsupported-media-type', before)
  })

  test('is taken with 50 lines, each of the most pieces that fit', async () => {
    const skus = Array.from({ length: 50 }, (_, i) => `LINE-${i}`)
    for (const sku of skus)
      await scene.app.orders.setPrice({ tenantId: 'acme', sku, currency: 'EUR', unitPriceMinor: 1 })
    const lines = skus.map((sku) => ({ sku, quantity: 1_000_000 }))
    const answer = await scene.place(randomUUID(), { body: { ...ORDER, lines } })
    expect(answer.json().amount_minor).toBe(50_000_000)
    expect(answer.json().lines).toHaveLength(50)
  })
})

/** What is random or a time in a log line may have any digits. */
const CHANCE = ['time', 'duration_ms', 'trace_id', 'span_id']
const withoutChance = (name: string, value: unknown): unknown =>
  CHANCE.includes(name) ? undefined : value

describe('a card number', () => {
  test.each<[string, object, Record<string, string>]>([
    ['in a text', { ...ORDER, note: `card ${PAN}` }, {}],
    ['as a number', { ...ORDER, note: Number(PAN) }, {}],
    ['typed in groups', { ...ORDER, payment_token: '4111 1111 1111 1111' }, {}],
    ['as a member’s name', { ...ORDER, [PAN]: 1 }, {}],
    ['in the key', ORDER, { 'idempotency-key': `order-${PAN}` }],
  ])('%s is refused and not logged', async (_what, body, headers) => {
    const before = await scene.orders()
    const answer = await scene.place(randomUUID(), { body, headers })
    await refused(answer, 400, 'pan-rejected', before)
    expect(answer.body).not.toContain('4111')
    expect(JSON.stringify(scene.logs, withoutChance)).not.toContain('4111')
  })

  test('that a SKU happens to look like is none', async () => {
    const sku = `P${PAN}`
    await scene.app.orders.setPrice({ tenantId: 'acme', sku, currency: 'EUR', unitPriceMinor: 1 })
    expect((await scene.place(randomUUID(), { body: line({ sku }) })).statusCode).toBe(201)
  })
})

describe('the tenant', () => {
  const routes = (id: string) =>
    [
      ['POST', '/api/v1/orders'],
      ['GET', '/api/v1/orders'],
      ['GET', '/api/v1/orders/events'],
      ['GET', `/api/v1/orders/${id}`],
      ['POST', `/api/v1/orders/${id}/cancel`],
      ['POST', `/internal/v1/orders/${id}/reservation-verdict`],
    ] as const

  test.each([
    ['is missing', undefined, 401, 'tenant-missing'],
    ['is empty', '', 401, 'tenant-missing'],
    ['is sent twice', 'acme, globex', 400, 'invalid-request'],
    ['is in upper case', 'ACME', 400, 'invalid-request'],
    ['ends in a hyphen', 'acme-', 400, 'invalid-request'],
    ['has 64 characters', 'a'.repeat(64), 400, 'invalid-request'],
    ['holds a quote', "a' OR '1'='1", 400, 'invalid-request'],
    ['holds a percent sign', 'a%', 400, 'invalid-request'],
  ])('that %s is refused on every route', async (_what, tenant, status, slug) => {
    const before = await scene.orders()
    const orderId = randomUUID()
    for (const [method, url] of routes(orderId)) {
      const headers = { 'x-tenant-id': tenant, 'idempotency-key': orderId }
      const body = method === 'GET' ? undefined : url.endsWith('orders') ? ORDER : {}
      await refused(await scene.send(method, url, headers, body), status, slug, before)
    }
  })
})

describe('a request', () => {
  test('whose deadline leaves less than 50 ms is shed before it is executed', async () => {
    const before = await scene.orders()
    const answer = await scene.place(randomUUID(), { headers: { 'x-request-deadline-ms': '49' } })
    await refused(answer, 429, 'deadline-too-short', before)
    expect(answer.headers).toMatchObject({ 'retry-after': '1', 'x-envoy-ratelimited': '1' })
  })

  test.each(['soon', '-5', '1e9', '', '5.5'])(
    'whose deadline is malformed (%s) has the usual one',
    async (deadline) => {
      const answer = await scene.place(randomUUID(), {
        headers: { 'x-request-deadline-ms': deadline },
      })
      expect(answer.statusCode).toBe(201)
    },
  )

  test('whose order header names another order is refused', async () => {
    const before = await scene.orders()
    const headers = { 'x-order-id': randomUUID() }
    await refused(await scene.place(randomUUID(), { headers }), 400, 'invalid-request', before)
    const orderId = await scene.given()
    await refused(await scene.cancel(orderId, headers), 400, 'invalid-request', before + 1)
    expect((await scene.row(orderId)).cancel_requested_at).toBeNull()
  })

  test.each([
    ['GET', '/api/v1/order', 404, 'not-found'],
    ['GET', '/', 404, 'not-found'],
    ['POST', '/api/v1/orders/events', 405, 'method-not-allowed'],
    [
      'GET',
      '/internal/v1/orders/00000000-0000-4000-8000-000000000000/reservation-verdict',
      405,
      'method-not-allowed',
    ],
  ] as const)('for %s %s is refused with %i', async (method, url, status, slug) => {
    const answer = await scene.send(method, url, {}, method === 'POST' ? {} : undefined)
    expect(answer.statusCode).toBe(status)
    expect(answer.json().type).toBe(`https://oms.example/problems/${slug}`)
  })

  test('leaves one log line, with its ids and without its secrets', async () => {
    const key = randomUUID()
    await scene.place(key)
    const lines = scene.logs.filter(({ msg }) => msg === 'request')
    expect(lines).toMatchObject([
      { order_id: key, tenant_id: 'acme', status: 201, path: '/api/v1/orders' },
    ])
    expect(JSON.stringify(scene.logs)).not.toContain(ORDER.payment_token)
  })
})

describe('a tenant’s quota', () => {
  let limited: ReturnType<Scene['replica']>
  beforeAll(() => {
    limited = scene.replica({ TENANT_ORDERS_PER_SECOND: '3', TENANT_CANCELS_PER_SECOND: '3' })
  })

  test('of orders holds for one tenant, and for orders alone', async () => {
    const tenant = 'initech'
    await scene.app.orders.setPrice({
      tenantId: tenant,
      sku: 'BEANS',
      currency: 'EUR',
      unitPriceMinor: 1,
    })
    const place = (headers: object) =>
      scene.place(randomUUID(), { on: limited, headers: { ...headers } })
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => place({ 'x-tenant-id': tenant })),
    )
    const shed = answers.filter(({ statusCode }) => statusCode === 429)
    // What came in meanwhile may have earned one more token.
    expect(shed.length).toBeGreaterThanOrEqual(4)
    expect(shed.length).toBeLessThanOrEqual(5)
    expect(shed[0]?.json()).toMatchObject({
      type: 'https://oms.example/problems/tenant-quota',
      retryable: true,
      outcome: 'not_executed',
    })
    expect(shed[0]?.headers).toMatchObject({ 'retry-after': '1', 'x-envoy-ratelimited': '1' })
    expect(shed[0]?.body).not.toContain(tenant)
    expect((await place({})).statusCode).toBe(201)
    // Cancels have tokens of their own, also where both rates are the same.
    expect((await scene.cancel(randomUUID(), { 'x-tenant-id': tenant }, limited)).statusCode).toBe(
      404,
    )
    const { rows } = await scene.admin.query(
      "SELECT count(*)::int AS n FROM oms.orders WHERE tenant_id = 'initech'",
    )
    expect(rows[0].n).toBe(8 - shed.length)
  })

  test('of cancels holds for one tenant, and for cancels alone', async () => {
    const cancel = (headers: Record<string, string>) => scene.cancel(randomUUID(), headers, limited)
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => cancel({ 'x-tenant-id': 'umbrella' })),
    )
    const codes = answers.map(({ statusCode }) => statusCode).toSorted()
    expect(codes.slice(0, 3)).toEqual([404, 404, 404])
    expect(codes.slice(4)).toEqual([429, 429, 429, 429])
    expect((await cancel({ 'x-tenant-id': 'globex' })).statusCode).toBe(404)
    const headers = { 'x-tenant-id': 'umbrella' }
    expect((await scene.place(randomUUID(), { on: limited, headers })).statusCode).toBe(400)
  })
})
