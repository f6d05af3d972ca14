/** Payments in PostgreSQL: every method is one named statement, one round trip. */
import { faultPoint } from '@oms/chassis/fault-point'
import { functionCall, type Postgres, type Statement } from '@oms/chassis/postgres'
import type { Payment, PaymentState, Refund } from '../domain/payment.ts'
import { chargeKey } from '../domain/payment.ts'
import type { ChargeRole, OrderKey, Payments, RefundRole } from '../domain/ports.ts'

const PAYMENT_STATES: Readonly<Record<number, PaymentState>> = {
  1: 'processing',
  2: 'captured',
  3: 'declined',
  4: 'voided',
}

const REFUND_STATES = { 1: 'processing', 2: 'done', 3: 'failed' } as const

const call = (name: string, parameters: number): Statement =>
  functionCall('payment', name, parameters)

const STATEMENTS = {
  begin: call('begin_charge', 7),
  simulate: call('charge_simulated', 7),
  finish: call('finish_charge', 5),
  defer: call('defer_charge', 2),
  load: call('load_payment', 2),
  void: call('void_payment', 2),
  claimCharges: call('claim_due_charges', 1),
  beginRefund: call('begin_refund', 3),
  finishRefund: call('finish_refund', 5),
  deferRefund: call('defer_refund', 3),
  latestRefund: call('latest_refund', 2),
  claimRefunds: call('claim_due_refunds', 1),
  tenantsOf: call('tenants_of_payment', 1),
  gauges: call('payment_gauges', 0),
}

interface PaymentRow {
  readonly tenant_id: string
  readonly order_id: string
  readonly state: number
  readonly amount_minor: number
  readonly currency: string
  readonly payment_token: string | null
  readonly psp_key: string | null
  readonly psp_ref: string | null
  readonly decline_code: string | null
  readonly refunded_minor: number
  readonly latest_refund_no: number
  readonly attempt: number
  readonly key_lives: boolean
  readonly created_at: string
  readonly decided_at: string | null
}

interface RefundRow {
  readonly tenant_id: string
  readonly order_id: string
  readonly refund_no: number
  readonly state: 1 | 2 | 3
  readonly amount_minor: number
  readonly psp_key: string
  readonly attempt: number
  readonly key_lives: boolean
}

interface Result<Row, Role extends string = string> {
  readonly role: Role
  readonly entity: Row
}

export interface PaymentRepositoryOptions {
  readonly deployment: string
  /** The outcome follows from the token, written with the intent. */
  readonly simulated: boolean
}

export function createPaymentRepository(
  postgres: Postgres,
  { deployment, simulated }: PaymentRepositoryOptions,
): Payments {
  const { one } = postgres

  return {
    async start({ tenantId, orderId, fingerprint, amountMinor, currency, paymentToken }) {
      const { role, entity } = await one<Result<PaymentRow, ChargeRole>>(
        simulated ? STATEMENTS.simulate : STATEMENTS.begin,
        [
          tenantId,
          orderId,
          Buffer.from(fingerprint, 'hex'),
          amountMinor,
          currency,
          paymentToken,
          chargeKey(deployment, tenantId, orderId),
        ],
      )
      await faultPoint('payment.p1.after_commit')
      return { role, payment: toPayment(entity) }
    },

    async finish({ tenantId, orderId }, outcome) {
      const code = outcome.kind === 'declined' ? outcome.declineCode : null
      const { entity } = await one<Result<PaymentRow>>(STATEMENTS.finish, [
        tenantId,
        orderId,
        outcome.kind,
        outcome.pspRef,
        code,
      ])
      await faultPoint('payment.p2.after_commit')
      return toPayment(entity)
    },

    async defer({ tenantId, orderId }) {
      await postgres.call(STATEMENTS.defer, [tenantId, orderId])
    },

    async find({ tenantId, orderId }) {
      const [row] = await postgres.call<Result<PaymentRow>>(STATEMENTS.load, [tenantId, orderId])
      return row === undefined ? undefined : toPayment(row.entity)
    },

    async void({ tenantId, orderId }) {
      const { entity } = await one<Result<PaymentRow>>(STATEMENTS.void, [tenantId, orderId])
      await faultPoint('payment.void.after_commit')
      return toPayment(entity)
    },

    async claimDueCharges(batch) {
      const rows = await postgres.call<OrderRow>(STATEMENTS.claimCharges, [batch])
      if (rows.length > 0) await faultPoint('payment.sweep.claimed')
      return rows.map(toKey)
    },

    async startRefund({ tenantId, orderId }, retry) {
      type Row = Result<RefundRow, RefundRole | 'not_found' | 'not_captured'> & {
        readonly payment: PaymentRow
      }
      const { role, entity, payment } = await one<Row>(STATEMENTS.beginRefund, [
        tenantId,
        orderId,
        retry,
      ])
      await faultPoint('payment.refund.after_intent')
      if (role === 'not_found' || role === 'not_captured') return role
      return { role, refund: toRefund(entity), payment: toPayment(payment) }
    },

    async finishRefund({ tenantId, orderId, refundNo }, outcome) {
      const { entity } = await one<Result<RefundRow>>(STATEMENTS.finishRefund, [
        tenantId,
        orderId,
        refundNo,
        outcome.kind === 'done',
        outcome.pspRef,
      ])
      return toRefund(entity)
    },

    async deferRefund({ tenantId, orderId, refundNo }) {
      await postgres.call(STATEMENTS.deferRefund, [tenantId, orderId, refundNo])
    },

    async latestRefund({ tenantId, orderId }) {
      const [row] = await postgres.call<Result<RefundRow>>(STATEMENTS.latestRefund, [
        tenantId,
        orderId,
      ])
      return row === undefined ? undefined : toRefund(row.entity)
    },

    async claimDueRefunds(batch) {
      return (await postgres.call<OrderRow>(STATEMENTS.claimRefunds, [batch])).map(toKey)
    },

    async tenantsOf(orderId) {
      const rows = await postgres.call<{ tenant_id: string }>(STATEMENTS.tenantsOf, [orderId])
      return rows.map(({ tenant_id }) => tenant_id)
    },

    async gauges() {
      const row = await one<{ processing: string; stuck: string }>(STATEMENTS.gauges, [])
      return { processing: Number(row.processing), stuck: Number(row.stuck) }
    },
  }
}

interface OrderRow {
  readonly tenant_id: string
  readonly order_id: string
}

function toKey({ tenant_id, order_id }: OrderRow): OrderKey {
  return { tenantId: tenant_id, orderId: order_id }
}

function toPayment(row: PaymentRow): Payment {
  const state = PAYMENT_STATES[row.state]
  if (state === undefined)
    throw new Error(`payment ${row.order_id} has the unknown state ${row.state}`)
  return {
    tenantId: row.tenant_id,
    orderId: row.order_id,
    state,
    amountMinor: row.amount_minor,
    currency: row.currency,
    paymentToken: row.payment_token,
    pspKey: row.psp_key,
    pspRef: row.psp_ref,
    declineCode: row.decline_code,
    refundedMinor: row.refunded_minor,
    refundNo: row.latest_refund_no,
    attempt: row.attempt,
    keyLives: row.key_lives,
    createdAt: iso(row.created_at),
    decidedAt: row.decided_at === null ? null : iso(row.decided_at),
  }
}

function toRefund(row: RefundRow): Refund {
  return {
    tenantId: row.tenant_id,
    orderId: row.order_id,
    refundNo: row.refund_no,
    state: REFUND_STATES[row.state],
    amountMinor: row.amount_minor,
    pspKey: row.psp_key,
    attempt: row.attempt,
    keyLives: row.key_lives,
  }
}

function iso(timestamp: string): string {
  return new Date(timestamp).toISOString()
}
