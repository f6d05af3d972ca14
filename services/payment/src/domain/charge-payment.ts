/** Charges an order once, however often it is called, and resumes what a crash or a silent processor left. */
import { IdempotencyKeyReused } from '@oms/contracts/order'
import { ALERT_AFTER_ATTEMPTS, isDecided, type Payment } from './payment.ts'
import type { ChargeCommand, Gateway, Log, OrderKey, Patience, Payments } from './ports.ts'

export interface ChargeResult {
  readonly payment: Payment
  readonly replayed: boolean
}

export type ChargePayment = (command: ChargeCommand) => Promise<ChargeResult>

interface Dependencies {
  readonly payments: Payments
  readonly gateway: Gateway
  readonly patience: Patience
  readonly log: Log
}

/**
 * The payment as it stands when the answer is due: `processing` means ask again with the same key.
 * @throws IdempotencyKeyReused the order arrived before with another amount, currency or token; nothing changed.
 */
export function createChargePayment(dependencies: Dependencies): ChargePayment {
  const { payments, patience } = dependencies
  return async function chargePayment(command) {
    // Committed before the outside world hears of it, so that a crash leaves something to resume.
    const { role, payment } = await payments.start(command)
    const key = `${command.tenantId}/${command.orderId}`
    switch (role) {
      case 'conflict':
        throw new IdempotencyKeyReused(
          `Order ${command.orderId} was charged with other data; nothing changed. Send what was sent first.`,
          { order_id: command.orderId },
        )
      case 'final':
        return { payment, replayed: true }
      case 'running': {
        const read = async () => (await payments.find(command)) ?? payment
        return { payment: await patience.until(key, payment, isDecided, read), replayed: true }
      }
      case 'fresh':
      case 'resumed': {
        if (isDecided(payment)) return { payment, replayed: false }
        const decided = await patience.within(key, () => decide(payment, dependencies))
        return { payment: decided ?? payment, replayed: false }
      }
    }
  }
}

/** Asks the processor and stores its verdict; without one the row waits for the next pass. */
async function decide(
  payment: Payment,
  { payments, gateway, log }: Dependencies,
): Promise<Payment> {
  const outcome = await gateway.charge(payment)
  if (outcome.kind === 'unknown') {
    if (payment.attempt > ALERT_AFTER_ATTEMPTS)
      log.error({ order_id: payment.orderId, attempt: payment.attempt }, 'charge without a verdict')
    await payments.defer(payment)
    return payment
  }
  const decided = await payments.finish(payment, outcome)
  log.info({ order_id: payment.orderId, state: decided.state }, 'payment decided')
  return decided
}

/** One pass over due charges. The same processor key is sent again, so it ends where the first try led. */
export async function resumeCharges(batch: number, dependencies: Dependencies): Promise<number> {
  const due = await dependencies.payments.claimDueCharges(batch)
  await Promise.all(
    due.map((key) =>
      // One that fails must not end the pass of the others; its lease runs out.
      resume(key, dependencies).catch((error: unknown) =>
        dependencies.log.warn({ err: error, order_id: key.orderId }, 'charge not resumed'),
      ),
    ),
  )
  return due.length
}

async function resume(key: OrderKey, dependencies: Dependencies): Promise<void> {
  const payment = await dependencies.payments.find(key)
  if (payment !== undefined && !isDecided(payment)) await decide(payment, dependencies)
}
