/** What payment-service promises to order-service, route by route. */
import { randomUUID } from 'node:crypto'
import { json } from '@oms/chassis/testing'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { approves, type Harness, startPayment, verdict } from './harness.ts'

let payment: Harness

beforeAll(async () => {
  payment = await startPayment()
})
afterAll(() => payment.stop())
beforeEach(() => approves(payment))

describe('POST /api/v1/payments', () => {
  test('captures once and replays the stored answer for a repeated key', async () => {
    const order = randomUUID()
    const first = await payment.charge(order)
    expect(first.statusCode).toBe(201)
    expect(first.json()).toMatchObject({
      order_id: order,
      state: 'captured',
      amount_minor: 1999,
      psp_ref: 'ch_1',
    })
    expect(first.headers['x-order-id']).toBe(order)
    const second = await payment.charge(order)
    expect(second.statusCode).toBe(201)
    expect(second.headers['idempotent-replayed']).toBe('true')
    expect(second.body).toBe(first.body)
    expect(payment.processor.received).toHaveLength(1)
    expect(payment.processor.received[0]?.headers['idempotency-key']).toBe(
      `oms:local:acme:${order}:c1`,
    )
  })

  test('asks the processor once for many concurrent duplicates', async () => {
    const order = randomUUID()
    const answers = await Promise.all(Array.from({ length: 12 }, () => payment.charge(order)))
    expect(answers.map(({ statusCode }) => statusCode)).toEqual(answers.map(() => 201))
    expect(new Set(answers.map(({ body }) => body)).size).toBe(1)
    expect(payment.processor.received).toHaveLength(1)
  })

  test('answers a decline as 402, final, the same every time', async () => {
    const declined = { status: 'declined', decline_code: 'card_declined' }
    payment.processor.answer((received, response) =>
      json(response, 200, verdict(received, declined)),
    )
    const order = randomUUID()
    const first = await payment.charge(order)
    expect(first.statusCode).toBe(402)
    expect(first.json()).toMatchObject({
      outcome: 'final',
      retryable: false,
      decline_code: 'card_declined',
      order_id: order,
    })
    expect((await payment.charge(order)).body).toBe(first.body)
  })

  test('refuses the same order with another amount and changes nothing', async () => {
    const order = randomUUID()
    await payment.charge(order)
    const other = await payment.charge(order, { amount_minor: 1 })
    expect(other.statusCode).toBe(422)
    expect(other.body).not.toContain('1999')
    expect((await payment.charge(order)).statusCode).toBe(201)
  })

  test.each([
    ['a 500', 500],
    ['a 404', 404],
    ['a 409', 409],
  ])(
    'treats %s of the processor as unknown, never as a decline, and resumes under the same key',
    async (_what, status) => {
      payment.processor.answer((_request, response) => json(response, status, { error: 'x' }))
      const order = randomUUID()
      const first = await payment.charge(order)
      expect(first.statusCode).toBe(202)
      expect(first.json().state).toBe('processing')
      const { received } = payment.processor
      const keys = new Set(received.map(({ headers }) => headers['idempotency-key']))
      approves(payment)
      await payment.resume(order)
      const end = await payment.charge(order)
      expect(end.statusCode).toBe(201)
      for (const { headers } of received) keys.add(headers['idempotency-key'])
      expect([...keys]).toEqual([`oms:local:acme:${order}:c1`])
    },
  )

  test('answers 202 in time when the processor is silent, and stores the verdict that comes later', async () => {
    payment.processor.answer((received, response) => {
      setTimeout(() => json(response, 200, verdict(received)), 600)
    })
    const order = randomUUID()
    const answer = await payment.charge(order, {}, { 'x-request-deadline-ms': '300' })
    expect(answer.statusCode).toBe(202)
    await Promise.all(payment.app.server.chassis.background)
    expect((await payment.charge(order)).statusCode).toBe(201)
    expect(payment.processor.received).toHaveLength(1)
  })

  test('does not charge after a void', async () => {
    const order = randomUUID()
    const voided = await payment.void(order, { 'x-order-id': order })
    expect(voided.statusCode).toBe(200)
    expect(voided.json().state).toBe('voided')
    const late = await payment.charge(order)
    expect(late.statusCode).toBe(409)
    expect(late.json().type).toBe('https://oms.example/problems/payment-voided')
    expect(payment.processor.received).toHaveLength(0)
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
    const answer = await payment.charge(order, fields, headers)
    expect(answer.statusCode).toBe(status)
    expect(answer.json()).toMatchObject({ status, outcome: 'not_executed' })
    expect(await payment.row(order)).toBeUndefined()
  })
})

describe('void', () => {
  test('leaves a captured payment as it is', async () => {
    const order = randomUUID()
    await payment.charge(order)
    const answer = await payment.void(order)
    expect(answer.statusCode).toBe(200)
    expect(answer.json().state).toBe('captured')
  })
})

describe('refund', () => {
  test('gives the money back once, under a key of its own, and books it', async () => {
    const order = randomUUID()
    await payment.charge(order)
    const first = await payment.refund(order)
    expect(first.statusCode).toBe(201)
    expect(first.json()).toEqual({
      order_id: order,
      refund_no: 1,
      state: 'done',
      amount_minor: 1999,
    })
    expect((await payment.refund(order)).body).toBe(first.body)
    expect(payment.processor.received.map(({ headers }) => headers['idempotency-key'])).toEqual([
      `oms:local:acme:${order}:c1`,
      `oms:local:acme:${order}:r1`,
    ])
    const { rows } = await payment.database.admin.query(
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
    await payment.charge(order)
    payment.processor.answer((received, response) =>
      json(response, 200, verdict(received, { status: 'failed' })),
    )
    expect((await payment.refund(order)).statusCode).toBe(409)
    const read = await payment.get(`/api/v1/payments/${order}`)
    expect(read.json().refunded_minor).toBe(0)
    approves(payment)
    const key = { tenantId: 'acme', orderId: order }
    const { refund: next } = await payment.app.refundPayment(key, true)
    expect(next).toMatchObject({ refundNo: 2, state: 'done' })
    expect((await payment.refund(order)).json()).toMatchObject({ refund_no: 2, state: 'done' })
  })

  test('once asked for, shows in every answer about the payment, also while it is refused', async () => {
    const order = randomUUID()
    expect((await payment.charge(order)).json().refund_no).toBe(0)
    payment.processor.answer((received, response) =>
      json(response, 200, verdict(received, { status: 'failed' })),
    )
    await payment.refund(order)
    for (const answer of [
      await payment.charge(order),
      await payment.void(order),
      await payment.get(`/api/v1/payments/${order}`),
    ])
      expect(answer.json()).toMatchObject({ state: 'captured', refund_no: 1 })
  })

  test('of what was never captured is refused', async () => {
    const order = randomUUID()
    await payment.void(order)
    expect((await payment.refund(order)).json().type).toBe(
      'https://oms.example/problems/not-captured',
    )
    expect((await payment.refund(randomUUID())).statusCode).toBe(404)
  })
})

describe('tenants', () => {
  test('cannot read, void or refund each other’s payments', async () => {
    const order = randomUUID()
    await payment.charge(order)
    const other = { 'x-tenant-id': 'globex' }
    expect((await payment.get(`/api/v1/payments/${order}`, other)).statusCode).toBe(404)
    expect((await payment.refund(order, other)).statusCode).toBe(404)
    expect((await payment.void(order, other)).json().state).toBe('voided')
    expect((await payment.charge(order)).statusCode).toBe(201)
  })
})
