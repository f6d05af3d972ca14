/** What an operator runs by hand, from the same bundle. */
import { stopOnce } from '@oms/chassis/lifecycle'
import type { PaymentApp } from './app.ts'

interface Terminal {
  log(line: string): void
  error(line: string): void
}

/** Sends the next refund of an order whose last one was refused. Returns the exit code. */
export async function retryRefund(
  { server, payments, refundPayment }: PaymentApp,
  orderId: string | undefined,
  terminal: Terminal,
): Promise<number> {
  try {
    if (orderId === undefined || !/^[0-9a-f-]{36}$/i.test(orderId)) {
      terminal.error('Name the order: retry-refund ORDER, a UUID.')
      return 2
    }
    const tenants = await payments.tenantsOf(orderId.toLowerCase())
    if (tenants.length === 0) {
      terminal.error(`There is no payment of order ${orderId}.`)
      return 1
    }
    for (const tenantId of tenants) {
      const { refund } = await refundPayment({ tenantId, orderId: orderId.toLowerCase() }, true)
      terminal.log(`${tenantId} ${orderId} refund ${refund.refundNo}: ${refund.state}`)
    }
    return 0
  } catch (error) {
    terminal.error((error as Error).message)
    return 1
  } finally {
    await stopOnce(server, 0)()
  }
}
