/** Whatever arrives: a documented problem, nothing stored, nothing asked of the processor, never a 500. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { approves, CHARGED, type Harness, PAYMENT_MEMBERS, startPayment } from './harness.ts'

let payment: Harness

beforeAll(async () => {
  payment = await startPayment()
})
afterAll(() => payment.stop())
beforeEach(() => approves(payment))

const rows = async () => {
  const { rows } = await payment.database.admin.query(
    'SELECT (SELECT count(*) FROM oms.payment)::int + (SELECT count(*) FROM oms.refund)::int + (SELECT count(*) FROM oms.ledger)::int AS n',
  )
  return rows[0].n as number
}

/** Runs `send` and expects a problem that says nothing was done, and that this is true. */
async function refused(
  send: () => ReturnType<Harness['post']>,
  status: number,
  slug: string,
): Promise<void> {
  const before = await rows()
  const answer = await send()
  expect({ status: answer.statusCode, type: answer.json().type }).toEqual({
    status,
    type: `https://oms.example/problems/${slug}`,
  })
  expect(answer.json()).toMatchObject({ status, outcome: 'not_executed', retryable: false })
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/)
  expect(answer.body).not.toMatch(/SELECT|oms\.(payment|refund)|\.ts:|127\.0\.0\.1/)
  expect(await rows()).toBe(before)
  expect(payment.processor.received).toHaveLength(0)
}

const OUTSIDE = 'http://169.254.169.254/latest/meta-data'

/** Never an id, in whatever place. */
const noId = [
  '',
  'x',
  '123',
  `${randomUUID()}x`,
  `{${randomUUID()}}`,
  'g'.repeat(36),
  "' OR 1=1--",
  OUTSIDE,
  '../health',
  '%00',
  '😀',
]

describe('a charge is refused with', () => {
  test.each<[string, object]>([
    ...noId.map((id): [string, object] => [`the order id ${JSON.stringify(id)}`, { order_id: id }]),
    ['no order id', { order_id: undefined }],
    ['a null order id', { order_id: null }],
    ['an amount of 0', { amount_minor: 0 }],
    ['a negative amount', { amount_minor: -1 }],
    ['a fraction of a minor unit', { amount_minor: 19.99 }],
    ['an amount above 10¹²', { amount_minor: 1_000_000_000_001 }],
    ['an amount beyond integers', { amount_minor: 1e300 }],
    ['an amount as text', { amount_minor: '1999' }],
    ['an amount as a list', { amount_minor: [1999] }],
    ['a null amount', { amount_minor: null }],
    ['no amount', { amount_minor: undefined }],
    ['a currency in lower case', { currency: 'eur' }],
    ['a currency of two letters', { currency: 'EU' }],
    ['a currency of four', { currency: 'EURO' }],
    ['a currency with a newline', { currency: 'EUR\n' }],
    ['no currency', { currency: undefined }],
    ['a token without its prefix', { payment_token: 'approve0001' }],
    ['a short token', { payment_token: 'pm_short' }],
    ['a long token', { payment_token: `pm_${'a'.repeat(65)}` }],
    ['a token with a quote', { payment_token: "pm_approve'0001" }],
    ['a token that is an address', { payment_token: OUTSIDE }],
    ['a token with a NUL', { payment_token: 'pm_approve\u00000001' }],
    ['no token', { payment_token: undefined }],
    ['a state', { state: 'captured' }],
    ['a refund', { refunded_minor: 1999 }],
    ["the processor's reference", { psp_ref: 'ch_1' }],
    ['a tenant', { tenant_id: 'globex' }],
  ])('%s', async (_what, fields) => {
    const order = randomUUID()
    await refused(() => payment.charge(order, fields), 400, 'invalid-request')
  })

  test.each<[string, Record<string, string>, number, string]>([
    ['the key of another order', { 'idempotency-key': randomUUID() }, 400, 'invalid-request'],
    ['a key that is no id', { 'idempotency-key': 'checkout-4711-attempt' }, 400, 'invalid-request'],
    ['another order in the header', { 'x-order-id': randomUUID() }, 400, 'invalid-request'],
    ['no tenant', { 'x-tenant-id': '' }, 401, 'tenant-missing'],
    ['two tenants', { 'x-tenant-id': 'acme,globex' }, 400, 'invalid-request'],
    ['a tenant that is SQL', { 'x-tenant-id': "a' OR '1'='1" }, 400, 'invalid-request'],
    ['a card number in the key', { 'idempotency-key': '4242424242424242' }, 400, 'pan-rejected'],
    ['another type of body', { 'content-type': 'text/plain' }, 415, 'unsupported-media-type'],
  ])('%s', async (_what, headers, status, slug) => {
    await refused(() => payment.charge(randomUUID(), {}, headers), status, slug)
  })

  test('no key', async () => {
    await refused(
      () => payment.post('/api/v1/payments', { order_id: randomUUID(), ...CHARGED }),
      400,
      'idempotency-key-missing',
    )
  })

  test('a card number as the token', async () => {
    await refused(
      () => payment.charge(randomUUID(), { payment_token: 'pm_4242424242424242' }),
      400,
      'pan-rejected',
    )
    expect(payment.log.join('')).not.toContain('4242424242424242')
  })
})

describe('an id in the address that is none is refused', () => {
  const bad = [
    'x',
    '123',
    'g'.repeat(36),
    encodeURIComponent("' OR 1=1--"),
    encodeURIComponent(OUTSIDE),
    '%00',
    '%zz',
    'a'.repeat(65),
  ]

  test.each(bad)('to read: %s', (id) =>
    refused(() => payment.get(`/api/v1/payments/${id}`), 400, 'invalid-request'),
  )

  test.each(bad)('to void: %s', (id) => refused(() => payment.void(id), 400, 'invalid-request'))

  test.each(bad)('to refund: %s', (id) => refused(() => payment.refund(id), 400, 'invalid-request'))
})

describe('a refund is refused with', () => {
  test.each<[string, object | undefined]>([
    ['no body', undefined],
    ['no number', {}],
    ['number 0', { refund_no: 0 }],
    ['a negative number', { refund_no: -1 }],
    ['a number as text', { refund_no: '1' }],
    ['a number beyond reason', { refund_no: 1001 }],
    ['an amount of its own', { refund_no: 1, amount_minor: 1 }],
  ])('%s', async (_what, body) => {
    const order = randomUUID()
    await refused(
      () =>
        payment.post(`/api/v1/payments/${order}/refund`, body, {
          'idempotency-key': `${order}:r1`,
        }),
      400,
      'invalid-request',
    )
  })
})

test('a void with a body of its own is refused', async () => {
  const order = randomUUID()
  await refused(
    () => payment.post(`/api/v1/payments/${order}/void`, { reason: 'x' }),
    400,
    'invalid-request',
  )
})

describe('an order id', () => {
  test('counts the same in upper and lower case', async () => {
    const order = randomUUID()
    const first = await payment.charge(order.toUpperCase())
    expect(first.statusCode).toBe(201)
    expect(first.json().order_id).toBe(order)
    expect((await payment.charge(order)).body).toBe(first.body)
    expect((await payment.get(`/api/v1/payments/${order.toUpperCase()}`)).json().order_id).toBe(
      order,
    )
    expect(payment.processor.received).toHaveLength(1)
  })
})

describe('a payment as it is shown', () => {
  test('has these members and no others', async () => {
    const order = randomUUID()
    expect(Object.keys((await payment.charge(order)).json())).toEqual(PAYMENT_MEMBERS)
    const read = (await payment.get(`/api/v1/payments/${order}`)).json()
    expect(Object.keys(read)).toEqual([...PAYMENT_MEMBERS, 'refunded_minor'])
    for (const at of [read.created_at, read.decided_at])
      expect(at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    expect(Object.keys((await payment.refund(order)).json())).toEqual([
      'order_id',
      'refund_no',
      'state',
      'amount_minor',
    ])
  })

  test('names its order in a header, whatever the answer', async () => {
    const order = randomUUID()
    for (const answer of [
      await payment.get(`/api/v1/payments/${order}`),
      await payment.charge(order),
      await payment.void(order),
      await payment.refund(order),
    ])
      expect(answer.headers['x-order-id']).toBe(order)
  })

  test('holds an amount of 10¹² exactly', async () => {
    const order = randomUUID()
    const answer = await payment.charge(order, { amount_minor: 1_000_000_000_000 })
    expect(answer.json().amount_minor).toBe(1_000_000_000_000)
    expect(payment.processor.received[0]?.body).toMatchObject({ amount: 1_000_000_000_000 })
  })
})

describe('another tenant', () => {
  const globex = { 'x-tenant-id': 'globex' }

  test('learns nothing: an order of others is as one that does not exist', async () => {
    const [theirs, none] = [randomUUID(), randomUUID()]
    await payment.charge(theirs)
    const calls = [
      (order: string) => payment.get(`/api/v1/payments/${order}`, globex),
      (order: string) => payment.refund(order, globex),
    ]
    for (const ask of calls) {
      const [foreign, missing] = [await ask(theirs), await ask(none)]
      expect(foreign.statusCode).toBe(404)
      expect(foreign.body.replaceAll(theirs, 'ID')).toBe(missing.body.replaceAll(none, 'ID'))
    }
  })

  test('that uses the same order id gets a payment of its own, under a key of its own', async () => {
    const order = randomUUID()
    await payment.void(order)
    const own = await payment.charge(order, { amount_minor: 5 }, globex)
    expect(own.statusCode).toBe(201)
    expect((await payment.get(`/api/v1/payments/${order}`)).json().state).toBe('voided')
    expect(payment.processor.received.map(({ headers }) => headers['idempotency-key'])).toEqual([
      `oms:local:globex:${order}:c1`,
    ])
  })
})
