/**
 * Charging and refunding: one object a key, however often and however concurrently it is asked for, and the faults
 * of the token. Another key is another capture, even for the same merchant reference.
 */
import { createHash } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { JournalBroken } from './journal.ts'
import type { Ledger } from './ledger.ts'
import { ruleOf } from './tokens.ts'
import {
  type Charge,
  type ChargeRequest,
  type Refund,
  type RefundRequest,
  Refusal,
} from './wire.ts'

export interface Outcome {
  readonly object: Charge | Refund
  /** An earlier request made the object, or a concurrent one. */
  readonly replayed: boolean
  /** The object is stored, its answer must not arrive. */
  readonly cut: boolean
}

export interface Processing {
  /** @throws Refusal idempotency_key_reuse; processor_error: nothing was captured; ledger_unavailable: unknown. */
  charge(key: string, request: ChargeRequest): Promise<Outcome>
  /** @throws Refusal as `charge`; not_found, charge_not_captured, amount_too_large: nothing was stored. */
  refund(key: string, request: RefundRequest): Promise<Outcome>
  /** Ends the delay of slow charges, which capture at once, and waits for all work. */
  finish(): Promise<void>
}

interface Work {
  readonly fingerprint: string
  readonly done: Promise<Omit<Outcome, 'replayed'>>
}

export function createProcessing(
  ledger: Ledger,
  { slowMs }: { readonly slowMs: number },
): Processing {
  const running = new Map<string, Work>()
  const stopping = new AbortController()

  async function once(
    key: string,
    fingerprint: string,
    execute: () => Promise<Omit<Outcome, 'replayed'>>,
  ): Promise<Outcome> {
    const earlier = ledger.byKey(key) ?? running.get(key)
    if (earlier === undefined) {
      const done = execute()
        .catch(explain)
        .finally(() => running.delete(key))
      running.set(key, { fingerprint, done })
      return { ...(await done), replayed: false }
    }
    if (earlier.fingerprint !== fingerprint)
      throw new Refusal(
        409,
        'idempotency_key_reuse',
        `The key ${key} was used for another request. Repeat that one unchanged, or take a new key.`,
      )
    const { object } = 'done' in earlier ? await earlier.done : earlier
    return { object, replayed: true, cut: false }
  }

  function charge(key: string, request: ChargeRequest): Promise<Outcome> {
    const { amount, currency, source, merchant_reference } = request
    const fingerprint = hash('charge', amount, currency, source, merchant_reference)
    return once(key, fingerprint, async () => {
      const { prefix, status, slow, first } = ruleOf(source)
      if (first === 'error' && !ledger.hadError(key)) {
        await ledger.addError(key)
        throw new Refusal(
          500,
          'processor_error',
          'The processor failed before it captured anything; repeat the request with the same key.',
        )
      }
      if (slow) await pause()
      const object = await ledger.addCharge(
        {
          idempotency_key: key,
          merchant_reference,
          amount,
          currency,
          status,
          decline_code: status === 'declined' ? 'card_declined' : null,
        },
        { fingerprint, rule: prefix },
      )
      return { object, cut: first === 'cut' }
    })
  }

  function refund(key: string, request: RefundRequest): Promise<Outcome> {
    const { amount, merchant_reference } = request
    const fingerprint = hash('refund', request.charge, amount, merchant_reference)
    return once(key, fingerprint, async () => {
      const charged = refundableCharge(request)
      const { failsRefundKey } = ruleOf(ledger.ruleOf(charged) ?? '')
      const fails = failsRefundKey !== null && key.endsWith(failsRefundKey)
      const object = await ledger.addRefund(
        {
          idempotency_key: key,
          merchant_reference,
          charge: charged.id,
          amount,
          currency: charged.currency,
          status: fails ? 'failed' : 'succeeded',
          failure_reason: fails ? 'refused_by_issuer' : null,
        },
        { fingerprint },
      )
      return { object, cut: false }
    })
  }

  function refundableCharge({ charge: id, amount }: RefundRequest): Charge {
    const charged = ledger.charges.get(id)
    if (charged === undefined) throw new Refusal(404, 'not_found', `There is no charge ${id}.`)
    if (charged.status !== 'succeeded')
      throw new Refusal(
        400,
        'charge_not_captured',
        `The charge ${id} was declined; there is nothing to refund.`,
      )
    const left = ledger.refundable(charged)
    if (amount > left)
      throw new Refusal(
        400,
        'amount_too_large',
        `Of the charge ${id} ${left} of ${charged.amount} can still be refunded, not ${amount}.`,
      )
    return charged
  }

  async function pause(): Promise<void> {
    await setTimeout(slowMs, undefined, { signal: stopping.signal }).catch(() => undefined)
  }

  async function finish(): Promise<void> {
    stopping.abort()
    while (running.size > 0) await Promise.allSettled([...running.values()].map(({ done }) => done))
  }

  return { charge, refund, finish }
}

function explain(error: unknown): never {
  if (error instanceof JournalBroken)
    throw new Refusal(503, 'ledger_unavailable', error.message, { cause: error })
  throw error
}

/** Of the request's members, the token included, so that the ledger can compare without keeping it. */
function hash(...members: readonly (string | number)[]): string {
  return createHash('sha256').update(JSON.stringify(members)).digest('hex')
}
