/**
 * The card processor over HTTP, outside any transaction. Its wire format is a third party's: this file is the only
 * one that knows it. A decline is an outcome; whatever is no verdict is `unknown`.
 */
import { faultPoint } from '@oms/chassis/fault-point'
import type { HttpClient } from '@oms/chassis/http-client'
import { NoAnswer } from '@oms/chassis/http-client'
import { type Static, Type } from 'typebox'
import type { ChargeOutcome, RefundOutcome } from '../domain/payment.ts'
import { merchantReference } from '../domain/payment.ts'
import type { Gateway } from '../domain/ports.ts'

/** 1.2 s: leaves payment's own answer, due at 1.7 s, room for two statements. */
const PSP_TIMEOUT_MS = 1200

const nullable = Type.Union([Type.String(), Type.Null()])

const Charge = Type.Object({
  id: Type.String({ minLength: 1 }),
  idempotency_key: Type.String(),
  merchant_reference: Type.String(),
  status: Type.Enum(['succeeded', 'declined', 'pending']),
  decline_code: nullable,
})
type Charge = Static<typeof Charge>

const Refund = Type.Object({
  id: Type.String({ minLength: 1 }),
  idempotency_key: Type.String(),
  merchant_reference: Type.String(),
  status: Type.Enum(['succeeded', 'failed']),
})
type Refund = Static<typeof Refund>

const Charges = Type.Object({ data: Type.Array(Charge) })
const Refunds = Type.Object({ data: Type.Array(Refund) })

export function createPaymentGateway(processor: HttpClient): Gateway {
  /** Sends by key while the processor remembers it, afterwards only asks by reference. */
  async function ask<T extends { readonly idempotency_key: string }>(
    kind: 'charges' | 'refunds',
    pspKey: string,
    keyLives: boolean,
    body: object,
  ): Promise<T | undefined> {
    const schemas =
      kind === 'charges' ? { one: Charge, list: Charges } : { one: Refund, list: Refunds }
    try {
      if (keyLives) {
        const answer = await processor.send({
          method: 'POST',
          path: `/v1/${kind}`,
          route: `/v1/${kind}`,
          headers: { 'idempotency-key': pspKey },
          body,
          timeoutMs: PSP_TIMEOUT_MS,
          answers: { 200: schemas.one },
        })
        const made = answer.body as T
        return made.idempotency_key === pspKey ? made : undefined
      }
      const reference = encodeURIComponent(merchantReference(pspKey))
      const answer = await processor.send({
        method: 'GET',
        path: `/v1/${kind}?merchant_reference=${reference}`,
        route: `/v1/${kind}`,
        timeoutMs: PSP_TIMEOUT_MS,
        answers: { 200: schemas.list },
      })
      const { data } = answer.body as { readonly data: readonly T[] }
      return data.find((each) => each.idempotency_key === pspKey)
    } catch (error) {
      if (error instanceof NoAnswer) return undefined
      throw error
    }
  }

  return {
    async charge({
      pspKey,
      keyLives,
      amountMinor,
      currency,
      paymentToken,
    }): Promise<ChargeOutcome> {
      if (pspKey === null) return { kind: 'unknown' }
      await faultPoint('payment.psp.sent')
      const charge = await ask<Charge>('charges', pspKey, keyLives, {
        amount: amountMinor,
        currency,
        source: paymentToken,
        merchant_reference: merchantReference(pspKey),
      })
      await faultPoint('payment.psp.answered')
      if (charge?.status === 'succeeded') return { kind: 'captured', pspRef: charge.id }
      if (charge?.status === 'declined')
        return {
          kind: 'declined',
          pspRef: charge.id,
          declineCode: charge.decline_code ?? 'declined',
        }
      return { kind: 'unknown' }
    },

    async refund({ pspRef }, { pspKey, keyLives, amountMinor }): Promise<RefundOutcome> {
      const refund = await ask<Refund>('refunds', pspKey, keyLives, {
        charge: pspRef,
        amount: amountMinor,
        merchant_reference: merchantReference(pspKey),
      })
      await faultPoint('payment.refund.psp_answered')
      if (refund === undefined) return { kind: 'unknown' }
      return { kind: refund.status === 'succeeded' ? 'done' : 'failed', pspRef: refund.id }
    },
  }
}

/**
 * `PSP_MODE=simulated`: new charges are decided by the database, refunds here; and charges that a run with a real
 * processor left open, by the same rule.
 */
export function createSimulatedGateway(): Gateway {
  return {
    async charge({ orderId, paymentToken }) {
      const pspRef = `sim_${orderId}`
      return paymentToken?.startsWith('pm_decline') === true
        ? { kind: 'declined', pspRef, declineCode: 'card_declined' }
        : { kind: 'captured', pspRef }
    },
    refund: async (_payment, { orderId, refundNo }) => ({
      kind: 'done',
      pspRef: `sim_${orderId}_r${refundNo}`,
    }),
  }
}
