/** `PSP_MODE=simulated`: the outcome follows from the token, intent and outcome are one write. */
import { randomUUID } from 'node:crypto'
import { parseConfig } from '@oms/chassis/config'
import { stopOnce } from '@oms/chassis/lifecycle'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildApp } from '../src/app.ts'
import { configSchema } from '../src/config.ts'
import { type Harness, startPayment } from './harness.ts'

let payment: Harness

beforeAll(async () => {
  payment = await startPayment({ PSP_MODE: 'simulated' })
})
afterAll(() => payment.stop())

describe('a simulated charge', () => {
  test.each(['approve', 'slow', 'lost', 'error', 'norefund'])(
    'of pm_%s captures at once',
    async (kind) => {
      const order = randomUUID()
      const answer = await payment.charge(order, { payment_token: `pm_${kind}00000001` })
      expect(answer.statusCode).toBe(201)
      expect(answer.json()).toMatchObject({ state: 'captured', psp_ref: `sim_${order}` })
      const { rows } = await payment.database.admin.query(
        'SELECT entry, debit, credit FROM oms.ledger WHERE order_id = $1',
        [order],
      )
      expect(rows).toEqual([{ entry: 0, debit: 'psp', credit: 'sales' }])
      expect(await payment.row(order)).toMatchObject({ payment_token: null })
    },
  )

  test('of pm_decline is declined and books nothing', async () => {
    const order = randomUUID()
    const answer = await payment.charge(order, { payment_token: 'pm_decline0001' })
    expect(answer.statusCode).toBe(402)
    expect(answer.json().decline_code).toBe('card_declined')
    const { rowCount } = await payment.database.admin.query(
      'SELECT FROM oms.ledger WHERE order_id = $1',
      [order],
    )
    expect(rowCount).toBe(0)
  })

  test('replays, refuses other data and yields to a void as any other', async () => {
    const order = randomUUID()
    const first = await payment.charge(order)
    const again = await payment.charge(order)
    expect(again.body).toBe(first.body)
    expect(again.headers['idempotent-replayed']).toBe('true')
    expect((await payment.charge(order, { amount_minor: 1 })).statusCode).toBe(422)
    const voided = randomUUID()
    await payment.void(voided)
    expect((await payment.charge(voided)).statusCode).toBe(409)
  })

  test('sent eight times at once is one', async () => {
    const order = randomUUID()
    const answers = await Promise.all(Array.from({ length: 8 }, () => payment.charge(order)))
    const captured = answers.filter(({ statusCode }) => statusCode === 201)
    expect(captured.length).toBeGreaterThan(0)
    expect(new Set(captured.map(({ body }) => body)).size).toBe(1)
    const { rowCount } = await payment.database.admin.query(
      'SELECT FROM oms.ledger WHERE order_id = $1',
      [order],
    )
    expect(rowCount).toBe(1)
  })

  test('is refunded without a processor', async () => {
    const order = randomUUID()
    await payment.charge(order)
    expect((await payment.refund(order)).json()).toMatchObject({ state: 'done' })
    expect(payment.processor.received).toHaveLength(0)
  })

  test.each([
    ['pm_approve0001', 'captured'],
    ['pm_decline0001', 'declined'],
  ])('that a real processor left open with %s ends as %s', async (token, state) => {
    const order = randomUUID()
    await payment.database.admin.query(
      `INSERT INTO oms.payment (tenant_id, order_id, fp, state, amount_minor, currency, payment_token, psp_key, next_run_at)
       VALUES ('acme', $1, '\\x01', 1, 1999, 'EUR', $2, 'k', now())`,
      [order, token],
    )
    await payment.resume(order)
    expect((await payment.get(`/api/v1/payments/${order}`)).json().state).toBe(state)
  })
})

describe('production', () => {
  test.each([
    ['simulated', 'production', true],
    ['http', 'production', false],
    ['simulated', 'lab', false],
    ['simulated', 'local', false],
  ])('with PSP_MODE=%s and DEPLOYMENT=%s: refused is %s', async (mode, deployment, refuses) => {
    const { server } = buildApp(
      parseConfig(configSchema, {
        ...payment.database.config,
        DEPLOYMENT: deployment,
        LOG_LEVEL: 'silent',
        PSP_MODE: mode,
      }),
    )
    const booting = (async () => {
      for (const step of server.chassis.boot) await step()
    })()
    if (refuses) await expect(booting).rejects.toThrow(/PSP_MODE=simulated is refused/)
    else await booting
    await stopOnce(server, 0)()
  })
})
