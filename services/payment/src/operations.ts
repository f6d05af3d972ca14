/** What an operator runs by hand, from the same bundle. */
import { runOperation, type Terminal, UsageError } from '@oms/chassis/operations'
import { UUID_PATTERN } from '@oms/contracts/identity'
import type { PaymentApp } from './app.ts'

/** `retry-refund ORDER`: sends the next refund of an order whose last one was refused. Returns the exit code. */
export function retryRefund(
  { server, payments, refundPayment }: PaymentApp,
  order: string | undefined,
  terminal: Terminal,
): Promise<number> {
  return runOperation(server, terminal, async () => {
    if (order === undefined || !new RegExp(UUID_PATTERN).test(order))
      throw new UsageError('Name the order: retry-refund ORDER, a UUID.')
    const orderId = order.toLowerCase()
    const tenants = await payments.tenantsOf(orderId)
    if (tenants.length === 0) throw new UsageError(`There is no payment of order ${orderId}.`)
    for (const tenantId of tenants) {
      const { refund } = await refundPayment({ tenantId, orderId }, true)
      terminal.log(`${tenantId} ${orderId} refund ${refund.refundNo}: ${refund.state}`)
    }
  })
}
