/** Refunds a captured payment in full, once; an operator may try again after the processor refused. */
import { NotCaptured } from '@oms/contracts/payment'
import { NotFound } from '@oms/problem/http-problems'
import { ALERT_AFTER_ATTEMPTS, type Payment, type Refund } from './payment.ts'
import type { Gateway, Log, OrderKey, Patience, Payments } from './ports.ts'

export interface RefundResult {
  readonly refund: Refund
  readonly replayed: boolean
}

export type RefundPayment = (key: OrderKey, retry?: boolean) => Promise<RefundResult>

interface Dependencies {
  readonly payments: Payments
  readonly gateway: Gateway
  readonly patience: Patience
  readonly log: Log
}

/**
 * The latest refund of the order, whatever number was asked for: a driver that repeats r1 sees r2 end.
 * @throws NotCaptured nothing was captured. @throws NotFound there is no such payment.
 */
export function createRefundPayment(dependencies: Dependencies): RefundPayment {
  const { payments, patience } = dependencies
  return async function refundPayment(key, retry = false) {
    const started = await payments.startRefund(key, retry)
    if (started === 'not_found')
      throw new NotFound(`There is no payment of order ${key.orderId}.`, { order_id: key.orderId })
    if (started === 'not_captured')
      throw new NotCaptured(
        `The payment of order ${key.orderId} was not captured; nothing to refund.`,
        {
          order_id: key.orderId,
        },
      )
    const { role, refund, payment } = started
    const name = `refund ${key.tenantId}/${key.orderId}`
    if (role === 'final') return { refund, replayed: true }
    if (role === 'running') {
      const read = async () => (await payments.latestRefund(key)) ?? refund
      return { refund: await patience.until(name, refund, isEnded, read), replayed: true }
    }
    const ended = await patience.within(name, () => decide(payment, refund, dependencies))
    return { refund: ended ?? refund, replayed: false }
  }
}

function isEnded(refund: Refund): boolean {
  return refund.state !== 'processing'
}

async function decide(
  payment: Payment,
  refund: Refund,
  { payments, gateway, log }: Dependencies,
): Promise<Refund> {
  const outcome = await gateway.refund(payment, refund)
  if (outcome.kind === 'unknown') {
    if (refund.attempt > ALERT_AFTER_ATTEMPTS)
      log.error({ order_id: refund.orderId, attempt: refund.attempt }, 'refund without a verdict')
    await payments.deferRefund(refund)
    return refund
  }
  const ended = await payments.finishRefund(refund, outcome)
  if (ended.state === 'failed')
    log.error(
      { order_id: refund.orderId, refund_no: refund.refundNo },
      'refund refused: an operator must run retry-refund',
    )
  return ended
}

/** One pass over due refunds, under the same processor key as before. */
export async function resumeRefunds(batch: number, dependencies: Dependencies): Promise<number> {
  const due = await dependencies.payments.claimDueRefunds(batch)
  await Promise.all(
    due.map((key) =>
      resume(key, dependencies).catch((error: unknown) =>
        dependencies.log.warn({ err: error, order_id: key.orderId }, 'refund not resumed'),
      ),
    ),
  )
  return due.length
}

async function resume(key: OrderKey, dependencies: Dependencies): Promise<void> {
  const [payment, refund] = await Promise.all([
    dependencies.payments.find(key),
    dependencies.payments.latestRefund(key),
  ])
  if (payment !== undefined && refund !== undefined && !isEnded(refund))
    await decide(payment, refund, dependencies)
}
