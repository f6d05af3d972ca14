import { randomUUID } from 'node:crypto'
import { parseConfig } from '@oms/chassis/config'
import { stopOnce } from '@oms/chassis/lifecycle'
import {
  createTestDatabase,
  createUpstream,
  json,
  type TestDatabase,
  type Upstream,
} from '@oms/chassis/testing'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { migrations } from '../migrations/migrations.ts'
import { buildApp, type PaymentApp } from '../src/app.ts'
import { configSchema } from '../src/config.ts'

let database: TestDatabase
let processor: Upstream
let app: PaymentApp

beforeAll(async () => {
  database = await createTestDatabase('oms_payment', migrations)
  processor = await createUpstream()
  app = buildApp(
    parseConfig(configSchema, {
      ...database.config,
      DEPLOYMENT: 'local',
      LOG_LEVEL: 'silent',
      PSP_URL: processor.origin,
    }),
  )
})

afterAll(async () => {
  await stopOnce(app.server, 0)()
  await processor.close()
  await database.drop()
})

const charged = { amount_minor: 1999, currency: 'EUR', payment_token: 'pm_approve0001' }

function post(path: string, payload: object, headers: Record<string, string> = {}) {
  return app.server.inject({
    method: 'POST',
    url: path,
    payload,
    headers: { 'x-tenant-id': 'acme', ...headers },
  })
}

function charge(orderId: string, body: object = charged, headers: Record<string, string> = {}) {
  return post(
    '/api/v1/payments',
    { order_id: orderId, ...body },
    { 'idempotency-key': orderId, 'x-order-id': orderId, ...headers },
  )
}

function approves(): void {
  processor.answer(({ headers, body }, response) => {
    const key = String(headers['idempotency-key'])
    json(response, 200, {
      id: key.includes(':r') ? 're_1' : 'ch_1',
      idempotency_key: key,
      merchant_reference: (body as { merchant_reference: string }).merchant_reference,
      status: 'succeeded',
      decline_code: null,
    })
  })
}

beforeEach(() => {
  processor.received.length = 0
  approves()
})

describe('POST /api/v1/payments', () => {
  test('captures once and replays the stored answer for a repeated key', async () => {
    const order = randomUUID()
    const first = await charge(order)
    expect(first.statusCode).toBe(201)
    expect(first.json()).toMatchObject({
      order_id: order,
      state: 'captured',
      amount_minor: 1999,
      psp_ref: 'ch_1',
    })
    expect(first.headers['x-order-id']).toBe(order)
    const second = await charge(order)
    expect(second.statusCode).toBe(201)
    expect(second.headers['idempotent-replayed']).toBe('true')
    expect(second.body).toBe(first.body)
    expect(processor.received).toHaveLength(1)
    expect(processor.received[0]?.headers['idempotency-key']).toBe(`oms:local:acme:${order}:c1`)
  })

  test('asks the processor once for many concurrent duplicates', async () => {
    const order = randomUUID()
    const answers = await Promise.all(Array.from({ length: 12 }, () => charge(order)))
    const captured = answers.filter(({ statusCode }) => statusCode === 201)
    expect(captured.length).toBeGreaterThan(0)
    expect(new Set(captured.map(({ body }) => body)).size).toBe(1)
    // A busy machine may shed some.
    for (const { statusCode } of answers) expect([201, 202, 429, 503]).toContain(statusCode)
    expect(processor.received).toHaveLength(1)
  })

  test('answers a decline as 402, final, the same every time', async () => {
    processor.answer(({ headers }, response) =>
      json(response, 200, {
        id: 'ch_2',
        idempotency_key: headers['idempotency-key'],
        merchant_reference: 'x',
        status: 'declined',
        decline_code: 'card_declined',
      }),
    )
    const order = randomUUID()
    const first = await charge(order)
    expect(first.statusCode).toBe(402)
    expect(first.json()).toMatchObject({
      outcome: 'final',
      retryable: false,
      decline_code: 'card_declined',
      order_id: order,
    })
    expect((await charge(order)).body).toBe(first.body)
  })

  test('refuses the same order with another amount and changes nothing', async () => {
    const order = randomUUID()
    await charge(order)
    const other = await charge(order, { ...charged, amount_minor: 1 })
    expect(other.statusCode).toBe(422)
    expect(other.body).not.toContain('1999')
    expect((await charge(order)).statusCode).toBe(201)
  })

  test.each([
    ['a 500', 500],
    ['a 404', 404],
    ['a 409', 409],
  ])(
    'treats %s of the processor as unknown, never as a decline, and resumes under the same key',
    async (_what, status) => {
      processor.answer((_request, response) => json(response, status, { error: 'x' }))
      const order = randomUUID()
      const first = await charge(order)
      expect(first.statusCode).toBe(202)
      expect(first.json().state).toBe('processing')
      approves()
      await database.admin.query('UPDATE oms.payment SET next_run_at = now() WHERE order_id = $1', [
        order,
      ])
      await app.resume()
      const end = await charge(order)
      expect(end.statusCode).toBe(201)
      expect(
        new Set(processor.received.map(({ headers }) => headers['idempotency-key'])).size,
      ).toBe(1)
    },
  )

  test('answers 202 in time when the processor is silent, and stores the verdict that comes later', async () => {
    processor.answer(({ headers }, response) => {
      setTimeout(
        () =>
          json(response, 200, {
            id: 'ch_9',
            idempotency_key: headers['idempotency-key'],
            merchant_reference: 'x',
            status: 'succeeded',
            decline_code: null,
          }),
        600,
      )
    })
    const order = randomUUID()
    const answer = await charge(order, charged, { 'x-request-deadline-ms': '300' })
    expect(answer.statusCode).toBe(202)
    await Promise.all(app.server.chassis.background)
    expect((await charge(order)).statusCode).toBe(201)
    expect(processor.received).toHaveLength(1)
  })

  test('does not charge after a void', async () => {
    const order = randomUUID()
    const voided = await post(`/api/v1/payments/${order}/void`, {}, { 'x-order-id': order })
    expect(voided.statusCode).toBe(200)
    expect(voided.json().state).toBe('voided')
    const late = await charge(order)
    expect(late.statusCode).toBe(409)
    expect(late.json().type).toBe('https://oms.example/problems/payment-voided')
    expect(processor.received).toHaveLength(0)
  })

  test.each([
    ['no tenant', { 'x-tenant-id': '' }, {}, 401],
    ['two tenants', { 'x-tenant-id': 'acme, globex' }, {}, 400],
    ['a key of another order', { 'idempotency-key': randomUUID() }, {}, 400],
    ['another order in the header', { 'x-order-id': randomUUID() }, {}, 400],
    ['an unknown field', {}, { state: 'captured' }, 400],
    ['an amount as text', {}, { amount_minor: '1999' }, 400],
    ['a negative amount', {}, { amount_minor: -1 }, 400],
    ['a deadline of 20 ms', { 'x-request-deadline-ms': '20' }, {}, 429],
  ])('refuses %s and stores nothing', async (_what, headers, fields, status) => {
    const order = randomUUID()
    const answer = await charge(order, { ...charged, ...fields }, headers)
    expect(answer.statusCode).toBe(status)
    expect(answer.json()).toMatchObject({ status, outcome: 'not_executed' })
    const { rowCount } = await database.admin.query('SELECT FROM oms.payment WHERE order_id = $1', [
      order,
    ])
    expect(rowCount).toBe(0)
  })
})

describe('void', () => {
  test('leaves a captured payment as it is', async () => {
    const order = randomUUID()
    await charge(order)
    const answer = await post(`/api/v1/payments/${order}/void`, {})
    expect(answer.statusCode).toBe(200)
    expect(answer.json().state).toBe('captured')
  })
})

describe('refund', () => {
  const refund = (order: string) =>
    post(`/api/v1/payments/${order}/refund`, { refund_no: 1 }, { 'idempotency-key': `${order}:r1` })

  test('gives the money back once, under a key of its own, and books it', async () => {
    const order = randomUUID()
    await charge(order)
    const first = await refund(order)
    expect(first.statusCode).toBe(201)
    expect(first.json()).toEqual({
      order_id: order,
      refund_no: 1,
      state: 'done',
      amount_minor: 1999,
    })
    expect((await refund(order)).body).toBe(first.body)
    expect(processor.received.map(({ headers }) => headers['idempotency-key'])).toEqual([
      `oms:local:acme:${order}:c1`,
      `oms:local:acme:${order}:r1`,
    ])
    const { rows } = await database.admin.query(
      'SELECT entry, debit, credit, amount_minor FROM oms.ledger WHERE order_id = $1 ORDER BY entry',
      [order],
    )
    expect(rows).toEqual([
      { entry: 0, debit: 'psp', credit: 'sales', amount_minor: '1999' },
      { entry: 1, debit: 'sales', credit: 'psp', amount_minor: '1999' },
    ])
  })

  test('that the processor refuses stays visible until an operator sends the next', async () => {
    const order = randomUUID()
    await charge(order)
    processor.answer(({ headers }, response) =>
      json(response, 200, {
        id: 're_x',
        idempotency_key: headers['idempotency-key'],
        merchant_reference: 'x',
        status: 'failed',
      }),
    )
    expect((await refund(order)).statusCode).toBe(409)
    const read = await app.server.inject({
      url: `/api/v1/payments/${order}`,
      headers: { 'x-tenant-id': 'acme' },
    })
    expect(read.json().refunded_minor).toBe(0)
    approves()
    const { refund: next } = await app.refundPayment({ tenantId: 'acme', orderId: order }, true)
    expect(next).toMatchObject({ refundNo: 2, state: 'done' })
    expect((await refund(order)).json()).toMatchObject({ refund_no: 2, state: 'done' })
  })

  test('of what was never captured is refused', async () => {
    const order = randomUUID()
    await post(`/api/v1/payments/${order}/void`, {})
    expect((await refund(order)).json().type).toBe('https://oms.example/problems/not-captured')
    expect((await refund(randomUUID())).statusCode).toBe(404)
  })
})

describe('tenants', () => {
  test('cannot read, void or refund each other’s payments', async () => {
    const order = randomUUID()
    await charge(order)
    const other = { 'x-tenant-id': 'globex' }
    const read = await app.server.inject({ url: `/api/v1/payments/${order}`, headers: other })
    expect(read.statusCode).toBe(404)
    expect(
      (
        await post(
          `/api/v1/payments/${order}/refund`,
          { refund_no: 1 },
          { ...other, 'idempotency-key': `${order}:r1` },
        )
      ).statusCode,
    ).toBe(404)
  })
})
