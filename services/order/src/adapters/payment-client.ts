/** Payment-service over HTTP: charge, void, refund. */

import { faultPoint } from '@oms/chassis/fault-point'
import type { HttpClient } from '@oms/chassis/http-client'
import { awaitVerdict } from '@oms/chassis/verdict'
import { IdempotencyKeyReused } from '@oms/contracts/order'
import {
  NotCaptured,
  PaymentBody,
  PaymentDeclined,
  PaymentVoided,
  RefundBody,
  RefundFailed,
} from '@oms/contracts/payment'
import type { OrderKey } from '../domain/order.ts'
import type { Payments, Told } from '../domain/ports.ts'
import type { Answer } from '../domain/transitions.ts'
import {
  contradiction,
  createParticipant,
  type Question,
  type Refusal,
  stateOf,
} from './participant.ts'

/** 10.2 s: above the mesh's route timeout of 10 s, which answers first. */
const PAYMENT_TIMEOUT_MS = 10_200

/** A charge under way gets 5 s more of the pass; its backoff follows. */
const POLL_PACE = { firstMs: 100, slowestMs: 800, maxMs: 5000 }

const PATH = '/api/v1/payments'

const DECLINED: Refusal = [
  PaymentDeclined,
  ({ decline_code }) => ({
    answer: 'declined',
    declineCode: typeof decline_code === 'string' ? decline_code : null,
  }),
]
const VOIDED: Refusal = [PaymentVoided, () => ({ answer: 'voided' })]

const PROCESSING: Told = { answer: 'processing' }

/** A payment's verdict, and what the order's own answer repeats of it. */
function fromPayment<State extends Answer>(body: unknown, expected: readonly State[]): Told {
  const { decline_code, refund_no } = body as PaymentBody
  const state = stateOf(body, expected)
  const answer = state === 'captured' && refund_no > 0 ? 'given_back' : state
  return { answer, declineCode: decline_code }
}

export function createPaymentClient(client: HttpClient): Payments {
  const ask = createParticipant(client)

  function find(order: OrderKey): Promise<Told> {
    const question: Question = {
      method: 'GET',
      path: `${PATH}/${order.orderId}`,
      route: `${PATH}/{orderId}`,
      timeoutMs: PAYMENT_TIMEOUT_MS,
      answers: { 200: PaymentBody },
      refusals: [],
    }
    return ask(order, question, ({ body }) =>
      fromPayment(body, ['processing', 'captured', 'declined', 'voided']),
    )
  }

  return {
    async charge(order) {
      await faultPoint('order.charge.sent')
      const question: Question = {
        method: 'POST',
        path: PATH,
        route: PATH,
        timeoutMs: PAYMENT_TIMEOUT_MS,
        body: {
          order_id: order.orderId,
          amount_minor: order.amountMinor,
          currency: order.currency,
          payment_token: order.paymentToken,
        },
        answers: { 201: PaymentBody, 202: PaymentBody },
        refusals: [DECLINED, VOIDED, contradiction(IdempotencyKeyReused)],
      }
      const told = await ask(order, question, ({ status, body }) =>
        status === 202 ? PROCESSING : fromPayment(body, ['captured']),
      )
      await faultPoint('order.charge.answered')
      if (told.answer !== 'processing') return told
      return awaitVerdict(told, isVerdict, () => find(order), undefined, POLL_PACE)
    },

    async void(order) {
      const question: Question = {
        method: 'POST',
        path: `${PATH}/${order.orderId}/void`,
        route: `${PATH}/{orderId}/void`,
        timeoutMs: PAYMENT_TIMEOUT_MS,
        answers: { 200: PaymentBody, 202: PaymentBody },
        refusals: [],
      }
      const told = await ask(order, question, ({ status, body }) =>
        status === 202 ? PROCESSING : fromPayment(body, ['captured', 'declined', 'voided']),
      )
      await faultPoint('order.void.answered')
      return told
    },

    async refund(order) {
      const question: Question = {
        method: 'POST',
        path: `${PATH}/${order.orderId}/refund`,
        route: `${PATH}/{orderId}/refund`,
        key: `${order.orderId}:r1`,
        timeoutMs: PAYMENT_TIMEOUT_MS,
        body: { refund_no: 1 },
        answers: { 201: RefundBody, 202: RefundBody },
        refusals: [[RefundFailed, () => ({ answer: 'refund_failed' })], contradiction(NotCaptured)],
      }
      const told = await ask(order, question, ({ status, body }) => {
        if (status === 202) return PROCESSING
        const done = (body as RefundBody).state === 'done'
        return { answer: done ? 'refunded' : 'contradiction' }
      })
      await faultPoint('order.refund.answered')
      return told
    },
  }
}

function isVerdict({ answer }: Told): boolean {
  return answer !== 'processing' && answer !== 'unknown'
}
