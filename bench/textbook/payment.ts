/** The textbook's payment-service: charges once an order, with the intent written before the processor is asked. */
import type { Server } from '@oms/chassis/server'
import { ChargeBody } from '@oms/contracts/payment'
import type pg from 'pg'
import { Type } from 'typebox'
import { inTransaction, type Query, type Statement } from './transaction.ts'
import type { Upstream } from './upstream.ts'

export const PaymentBody = Type.Object({
  order_id: Type.String(),
  state: Type.Enum(['processing', 'captured', 'declined']),
  currency: Type.String(),
  amount_minor: Type.Integer(),
  psp_ref: Type.Union([Type.String(), Type.Null()]),
})

const Charge = Type.Object({ id: Type.String(), status: Type.String() })

interface Payment {
  readonly order_id: string
  readonly state: 'processing' | 'captured' | 'declined'
  readonly currency: string
  /** bigint, hence text. */
  readonly amount_minor: string
  readonly psp_ref: string | null
}

const SQL = {
  insert: {
    name: 'insert_payment',
    text: 'INSERT INTO oms.payment VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING *',
  },
  find: {
    name: 'find_payment',
    text: 'SELECT * FROM oms.payment WHERE tenant_id = $1 AND order_id = $2',
  },
  decide: {
    name: 'decide_payment',
    text: `UPDATE oms.payment SET state = $3, psp_ref = $4
            WHERE tenant_id = $1 AND order_id = $2 AND state = 'processing' RETURNING *`,
  },
  book: { name: 'book', text: "INSERT INTO oms.ledger VALUES ($1, $2, 'psp', 'sales', $3, $4)" },
} satisfies Record<string, Statement>

type Verdict = { readonly state: 'captured' | 'declined'; readonly pspRef: string }

export interface Payments {
  charge(tenantId: string, body: ChargeBody): Promise<Payment>
}

/** @param processor `undefined`: the outcome follows from the token, and intent and outcome are one transaction. */
export function createPayments(pool: pg.Pool, processor: Upstream | undefined): Payments {
  return {
    charge: (tenantId, body) =>
      processor === undefined
        ? chargeSimulated(pool, tenantId, body)
        : charge(pool, processor, tenantId, body),
  }
}

export function paymentRoutes(server: Server, payments: Payments): void {
  server.post(
    '/payments',
    { schema: { body: ChargeBody, response: { 201: PaymentBody, 402: PaymentBody } } },
    async ({ tenantId, body }, reply) => {
      const payment = await payments.charge(tenantId, body)
      const told = { ...payment, amount_minor: Number(payment.amount_minor) }
      return reply.code(payment.state === 'captured' ? 201 : 402).send(told)
    },
  )
}

function chargeSimulated(pool: pg.Pool, tenantId: string, body: ChargeBody): Promise<Payment> {
  const declined = body.payment_token.startsWith('pm_decline')
  const verdict: Verdict = {
    state: declined ? 'declined' : 'captured',
    pspRef: `sim_${body.order_id}`,
  }
  return inTransaction(pool, async (query) => {
    const [inserted] = await insert(query, tenantId, body, verdict.state, verdict.pspRef)
    if (inserted === undefined) return find(query, tenantId, body.order_id)
    await book(query, tenantId, inserted)
    return inserted
  })
}

/** @throws where the processor gave no answer: the payment stays in `processing`, the orchestrator asks again. */
async function charge(
  pool: pg.Pool,
  processor: Upstream,
  tenantId: string,
  body: ChargeBody,
): Promise<Payment> {
  const intended = await inTransaction(pool, async (query) => {
    const [inserted] = await insert(query, tenantId, body, 'processing', null)
    return inserted ?? (await find(query, tenantId, body.order_id))
  })
  if (intended.state !== 'processing') return intended
  const verdict = await ask(processor, tenantId, body)
  return inTransaction(pool, async (query) => {
    const [decided] = await query<Payment>(SQL.decide, [
      tenantId,
      body.order_id,
      verdict.state,
      verdict.pspRef,
    ])
    if (decided === undefined) return find(query, tenantId, body.order_id)
    await book(query, tenantId, decided)
    return decided
  })
}

async function ask(processor: Upstream, tenantId: string, body: ChargeBody): Promise<Verdict> {
  const reference = `textbook:${tenantId}:${body.order_id}`
  const { body: made } = await processor.post({
    path: '/v1/charges',
    body: {
      amount: body.amount_minor,
      currency: body.currency,
      source: body.payment_token,
      merchant_reference: reference,
    },
    headers: { 'idempotency-key': `${reference}:c1` },
    answers: { 200: Charge },
  })
  return {
    state: made['status'] === 'succeeded' ? 'captured' : 'declined',
    pspRef: String(made['id']),
  }
}

function insert(
  query: Query,
  tenantId: string,
  { order_id, amount_minor, currency }: ChargeBody,
  state: Payment['state'],
  pspRef: string | null,
): Promise<Payment[]> {
  return query<Payment>(SQL.insert, [tenantId, order_id, state, amount_minor, currency, pspRef])
}

async function find(query: Query, tenantId: string, orderId: string): Promise<Payment> {
  const [found] = await query<Payment>(SQL.find, [tenantId, orderId])
  return found as Payment
}

async function book(query: Query, tenantId: string, payment: Payment): Promise<void> {
  const { order_id, amount_minor, currency } = payment
  if (payment.state === 'captured')
    await query(SQL.book, [tenantId, order_id, amount_minor, currency])
}
