/** Charges and refunds that got no verdict at first, or whose caller cannot know it. */
import { randomUUID } from 'node:crypto'
import { parseConfig } from '@oms/chassis/config'
import { eventually, json } from '@oms/chassis/testing'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { buildApp } from '../src/app.ts'
import { configSchema } from '../src/config.ts'
import { retryRefund } from '../src/operations.ts'
import { approves, type Harness, startPayment, verdict } from './harness.ts'

let payment: Harness

beforeAll(async () => {
  payment = await startPayment()
})
afterAll(() => payment.stop())
beforeEach(async () => {
  // What earlier tests left open is none of this one's passes.
  for (const table of ['payment', 'refund'])
    await payment.database.admin.query(
      `UPDATE oms.${table} SET next_run_at = now() + interval '1 h' WHERE state = 1`,
    )
  approves(payment)
})

/** The processor hears and says nothing that counts. */
function fails(): void {
  payment.processor.answer((_request, response) => json(response, 500, {}))
}

const keys = () => payment.processor.received.map(({ headers }) => headers['idempotency-key'])

async function older(
  table: 'payment' | 'refund',
  orderId: string,
  interval: string,
): Promise<void> {
  await payment.database.admin.query(
    `UPDATE oms.${table} SET created_at = now() - $2::interval WHERE order_id = $1`,
    [orderId, interval],
  )
}

describe('a charge without a verdict', () => {
  test('is 202, and its void too: the same processor key leads it to its end', async () => {
    fails()
    const order = randomUUID()
    expect((await payment.charge(order)).statusCode).toBe(202)
    const voided = await payment.void(order)
    expect(voided.statusCode).toBe(202)
    expect(voided.json()).toMatchObject({ order_id: order, state: 'processing', decided_at: null })
    approves(payment)
    await payment.resume(order)
    expect((await payment.void(order)).json().state).toBe('captured')
    expect((await payment.charge(order)).statusCode).toBe(201)
  })

  test('is sent under one key, whoever resumes it: a duplicate, the loop', async () => {
    fails()
    const order = randomUUID()
    await payment.charge(order)
    await payment.resume(order)
    await payment.database.admin.query(
      "UPDATE oms.payment SET next_run_at = now() - interval '1 s' WHERE order_id = $1",
      [order],
    )
    expect((await payment.charge(order)).statusCode).toBe(202)
    expect(keys()).toEqual(Array(3).fill(`oms:local:acme:${order}:c1`))
    expect(await payment.row(order)).toMatchObject({ state: 1, attempt: 2 })
  })

  test('is waited for by a duplicate, which says 202 in time and does not ask the processor', async () => {
    const order = randomUUID()
    let answer: (() => void) | undefined
    payment.processor.answer((received, response) => {
      answer = () => json(response, 200, verdict(received))
    })
    const first = payment.charge(order, {}, { 'x-request-deadline-ms': '100' })
    await eventually('the processor was asked', () => answer !== undefined)
    const second = await payment.charge(order, {}, { 'x-request-deadline-ms': '400' })
    expect(second.statusCode).toBe(202)
    expect(second.headers['idempotent-replayed']).toBe('true')
    expect((await first).statusCode).toBe(202)
    const third = payment.charge(order)
    answer?.()
    expect((await third).statusCode).toBe(201)
    expect(keys()).toHaveLength(1)
  })

  test.each<[string, (received: Parameters<typeof verdict>[0]) => object]>([
    [
      "another order's key",
      (received) => verdict(received, { idempotency_key: 'oms:local:acme:x:c1' }),
    ],
    ['no id', (received) => verdict(received, { id: '' })],
    ['a status of its own', (received) => verdict(received, { status: 'authorised' })],
    ['pending', (received) => verdict(received, { status: 'pending' })],
    ['an amount instead of a charge', () => ({ amount: 1 })],
  ])('has none where the processor answers with %s', async (_what, body) => {
    payment.processor.answer((received, response) => json(response, 200, body(received)))
    const order = randomUUID()
    expect((await payment.charge(order)).statusCode).toBe(202)
    expect(await payment.row(order)).toMatchObject({ state: 1, psp_ref: null })
  })

  test.each<[string, (charge: string) => string]>([
    ['HTML', (charge) => `<html>${charge}</html>`],
    ['half of it', (charge) => charge.slice(0, -1)],
    ['10 MB', (charge) => charge.padEnd(10_000_000)],
  ])('has none where a success comes as %s', async (_what, spoil) => {
    payment.processor.answer((received, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(spoil(JSON.stringify(verdict(received))))
    })
    const order = randomUUID()
    expect((await payment.charge(order)).statusCode).toBe(202)
    expect(await payment.row(order)).toMatchObject({ state: 1, psp_ref: null })
  })

  test('is sent again until 23 h, by the clock of the database', async () => {
    fails()
    const order = randomUUID()
    await payment.charge(order)
    await older('payment', order, '22 h 59 min')
    await payment.resume(order)
    expect(payment.processor.received.map(({ method }) => method)).toEqual(['POST', 'POST'])
  })

  test('older than 23 h is only asked about, by reference, and decided by its own key', async () => {
    fails()
    const order = randomUUID()
    await payment.charge(order)
    await older('payment', order, '23 h')
    payment.processor.received.length = 0
    const charges = [
      {
        id: 'ch_other',
        idempotency_key: 'other',
        merchant_reference: 'x',
        status: 'declined',
        decline_code: null,
      },
    ]
    payment.processor.answer((_request, response) => json(response, 200, { data: charges }))
    await payment.resume(order)
    expect(await payment.row(order)).toMatchObject({ state: 1 })
    charges.push({
      ...charges[0],
      id: 'ch_mine',
      idempotency_key: `oms:local:acme:${order}:c1`,
      status: 'succeeded',
    } as (typeof charges)[0])
    await payment.resume(order)
    expect(await payment.row(order)).toMatchObject({ state: 2, psp_ref: 'ch_mine' })
    const reference = encodeURIComponent(`oms:local:acme:${order}`)
    const asked = { method: 'GET', path: `/v1/charges?merchant_reference=${reference}` }
    expect(payment.processor.received).toMatchObject([asked, asked])
  })

  test('calls for a person after twenty passes', async () => {
    fails()
    const order = randomUUID()
    await payment.charge(order)
    await payment.database.admin.query('UPDATE oms.payment SET attempt = 20 WHERE order_id = $1', [
      order,
    ])
    await payment.resume(order)
    expect(
      payment.log.filter(
        (line) => line.includes('charge without a verdict') && line.includes(order),
      ),
    ).toHaveLength(1)
    expect((await payment.get('/metrics')).body).toMatch(/^payments_processing [1-9]/m)
  })

  test('loses its token with the verdict, and no log line ever shows one', async () => {
    const order = randomUUID()
    await payment.charge(order, { payment_token: 'pm_approveCanary' })
    expect(await payment.row(order)).toMatchObject({ state: 2, payment_token: null })
    expect(payment.log.join('')).not.toContain('Canary')
  })

  test('does not keep others of its pass from their verdict', async () => {
    fails()
    const [poor, rich] = [randomUUID(), randomUUID()]
    await payment.charge(poor)
    await payment.charge(rich)
    await payment.database.admin.query(`
      CREATE FUNCTION public.trip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.order_id = '${poor}' AND NEW.state = 2 THEN RAISE EXCEPTION 'tripped'; END IF; RETURN NEW; END $$;
      CREATE TRIGGER trip BEFORE UPDATE ON oms.payment FOR EACH ROW EXECUTE FUNCTION public.trip();`)
    approves(payment)
    await payment.database.admin.query(
      'UPDATE oms.payment SET next_run_at = now() WHERE order_id = ANY($1)',
      [[poor, rich]],
    )
    await payment.app.resume()
    await payment.database.admin.query('DROP TRIGGER trip ON oms.payment')
    expect(await payment.row(rich)).toMatchObject({ state: 2 })
    expect(await payment.row(poor)).toMatchObject({ state: 1 })
    expect(
      payment.log.some((line) => line.includes('charge not resumed') && line.includes(poor)),
    ).toBe(true)
  })
})

describe('a void', () => {
  test('with no body, an empty one or {} leaves a tombstone, the same for every repetition', async () => {
    const order = randomUUID()
    const first = await payment.void(order)
    expect(first.json()).toMatchObject({
      order_id: order,
      state: 'voided',
      amount_minor: 0,
      currency: '',
      psp_ref: null,
    })
    const again = await payment.post(`/api/v1/payments/${order}/void`, {})
    expect(again.body).toBe(first.body)
    expect(await payment.row(order)).toMatchObject({ state: 4, fp: null })
    // Its verdict, whatever is charged.
    const charges = [await payment.charge(order), await payment.charge(order, { amount_minor: 5 })]
    for (const late of charges) {
      expect(late.statusCode).toBe(409)
      expect(late.json()).toMatchObject({ outcome: 'final', order_id: order })
    }
    expect(charges[1]?.body).toBe(charges[0]?.body)
    expect(keys()).toEqual([])
  })

  test('leaves a declined payment declined', async () => {
    payment.processor.answer((received, response) =>
      json(response, 200, verdict(received, { status: 'declined', decline_code: 'card_declined' })),
    )
    const order = randomUUID()
    await payment.charge(order)
    expect((await payment.void(order)).json()).toMatchObject({
      state: 'declined',
      decline_code: 'card_declined',
    })
  })

  test('keyed by another order is refused', async () => {
    const order = randomUUID()
    const answer = await payment.void(order, { 'idempotency-key': randomUUID() })
    expect(answer.statusCode).toBe(400)
    expect(await payment.row(order)).toBeUndefined()
    expect((await payment.void(order, { 'idempotency-key': order })).statusCode).toBe(200)
  })
})

describe('a refund', () => {
  async function captured(): Promise<string> {
    const order = randomUUID()
    expect((await payment.charge(order)).statusCode).toBe(201)
    payment.processor.received.length = 0
    return order
  }

  const refunds = async (order: string) => {
    const { rows } = await payment.database.admin.query(
      'SELECT refund_no, state, psp_key, attempt FROM oms.refund WHERE order_id = $1 ORDER BY refund_no',
      [order],
    )
    return rows
  }

  const ledger = async (order: string) => {
    const { rows } = await payment.database.admin.query(
      'SELECT entry, debit, credit, currency, amount_minor::int FROM oms.ledger WHERE order_id = $1 ORDER BY entry',
      [order],
    )
    return rows
  }

  const terminal = () => {
    const told: string[] = []
    return {
      told,
      log: (line: string) => void told.push(line),
      error: (line: string) => void told.push(`! ${line}`),
    }
  }

  /** The operation runs against an application of its own and stops it. */
  async function retry(order: string | undefined) {
    const out = terminal()
    const app = buildApp(
      parseConfig(configSchema, {
        ...payment.database.config,
        DEPLOYMENT: 'local',
        LOG_LEVEL: 'silent',
        PSP_URL: payment.processor.origin,
      }),
    )
    return { code: await retryRefund(app, order, out), told: out.told }
  }

  test('speaks for the money before the processor hears of it', async () => {
    const order = await captured()
    let before: Record<string, unknown> | undefined
    payment.processor.answer((received, response) => {
      void payment.row(order).then((row) => {
        before = row
        json(response, 200, verdict(received))
      })
    })
    expect((await payment.refund(order)).statusCode).toBe(201)
    expect(before).toMatchObject({ state: 2, refunded_minor: '1999' })
  })

  test.each([
    ['no key', {}, 400, 'idempotency-key-missing'],
    ["the charge's key", { 'idempotency-key': 'ORDER' }, 400, 'invalid-request'],
    ["another number's key", { 'idempotency-key': 'ORDER:r2' }, 400, 'invalid-request'],
    [
      'another order in the header',
      { 'idempotency-key': 'ORDER:r1', 'x-order-id': randomUUID() },
      400,
      'invalid-request',
    ],
  ])('with %s is refused before anything is written', async (_what, headers, status, slug) => {
    const order = await captured()
    const filled = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, String(value).replace('ORDER', order)]),
    )
    const answer = await payment.post(`/api/v1/payments/${order}/refund`, { refund_no: 1 }, filled)
    expect(answer.statusCode).toBe(status)
    expect(answer.json().type).toBe(`https://oms.example/problems/${slug}`)
    expect(await refunds(order)).toEqual([])
  })

  test('without a verdict is 202, waited for by duplicates, resumed under the same key', async () => {
    const order = await captured()
    fails()
    expect((await payment.refund(order)).statusCode).toBe(202)
    const again = await payment.refund(order, { 'x-request-deadline-ms': '300' })
    expect(again.statusCode).toBe(202)
    expect(again.headers['idempotent-replayed']).toBe('true')
    approves(payment)
    await payment.resume(order)
    const done = await payment.refund(order)
    expect(done.statusCode).toBe(201)
    expect(done.headers['idempotent-replayed']).toBe('true')
    expect(keys()).toEqual([`oms:local:acme:${order}:r1`])
    expect(await refunds(order)).toMatchObject([{ refund_no: 1, state: 2, attempt: 1 }])
  })

  test('asked for twelve times at once is one refund', async () => {
    const order = await captured()
    const answers = await Promise.all(Array.from({ length: 12 }, () => payment.refund(order)))
    expect(answers.map(({ statusCode }) => statusCode)).toEqual(answers.map(() => 201))
    expect(new Set(answers.map(({ body }) => body)).size).toBe(1)
    expect(keys()).toHaveLength(1)
    expect(await ledger(order)).toHaveLength(2)
  })

  test('older than 23 h is only asked about', async () => {
    const order = await captured()
    fails()
    await payment.refund(order)
    await older('refund', order, '23 h')
    payment.processor.received.length = 0
    payment.processor.answer((_request, response) =>
      json(response, 200, {
        data: [
          {
            id: 're_9',
            idempotency_key: `oms:local:acme:${order}:r1`,
            merchant_reference: 'x',
            status: 'succeeded',
          },
        ],
      }),
    )
    await payment.resume(order)
    expect(payment.processor.received.map(({ method }) => method)).toEqual(['GET'])
    expect(await refunds(order)).toMatchObject([{ state: 2 }])
  })

  test('that failed is 409, alerts, frees the money, and is sent anew only by an operator', async () => {
    const order = await captured()
    payment.processor.answer((received, response) =>
      json(response, 200, verdict(received, { id: 're_f', status: 'failed' })),
    )
    const first = await payment.refund(order)
    expect(first.statusCode).toBe(409)
    expect(first.json()).toMatchObject({
      type: 'https://oms.example/problems/refund-failed',
      outcome: 'final',
      order_id: order,
    })
    expect((await payment.refund(order)).body).toBe(first.body)
    expect(keys()).toHaveLength(1)
    expect(await payment.row(order)).toMatchObject({ refunded_minor: '0' })
    expect(
      payment.log.some((line) => line.includes('refund refused') && line.includes(order)),
    ).toBe(true)
    expect((await payment.get('/metrics')).body).toMatch(/^refunds_stuck 1$/m)

    approves(payment)
    expect(await retry(order.toUpperCase())).toEqual({
      code: 0,
      told: [expect.stringMatching(new RegExp(`^acme ${order} refund 2: done$`, 'i'))],
    })
    expect(keys()).toEqual([`oms:local:acme:${order}:r2`])
    expect((await payment.get('/metrics')).body).toMatch(/^refunds_stuck 0$/m)
    expect((await payment.refund(order)).json()).toMatchObject({ refund_no: 2, state: 'done' })
    expect(await ledger(order)).toMatchObject([
      { entry: 0, debit: 'psp', credit: 'sales', currency: 'EUR', amount_minor: 1999 },
      { entry: 2, debit: 'sales', credit: 'psp', currency: 'EUR', amount_minor: 1999 },
    ])
    // Once more changes nothing: the money is back.
    expect(await retry(order)).toMatchObject({ code: 0 })
    expect(await refunds(order)).toHaveLength(2)
  })

  test.each([
    [undefined, 2],
    ['nonsense', 2],
    ["' OR 1=1; --", 2],
    [randomUUID(), 2],
  ])('is not retried for %s: a sentence and exit code %i', async (order, code) => {
    const { code: exit, told } = await retry(order)
    expect(exit).toBe(code)
    expect(told).toEqual([expect.stringMatching(/^! .*\.$/)])
  })

  test('of what was never captured is not retried either', async () => {
    const order = randomUUID()
    await payment.void(order)
    expect(await retry(order)).toEqual({
      code: 1,
      told: [expect.stringContaining('was not captured')],
    })
  })
})
