/** Cancels an order while no verdict has confirmed it: the row's lock decides between the two. */
import { OrderFinal } from '@oms/contracts/order'
import { NotFound } from '@oms/problem/http-problems'
import type { Driver } from './drive-order.ts'
import { isFinal, type Order, type OrderKey } from './order.ts'
import type { Orders } from './ports.ts'

/** The order, cancelled or on its way there. */
export type CancelOrder = (key: OrderKey) => Promise<Order>

interface Dependencies {
  readonly orders: Orders
  readonly driver: Driver
}

/** @throws NotFound. @throws OrderFinal it ended in another way. */
export function createCancelOrder({ orders, driver }: Dependencies): CancelOrder {
  return async function cancelOrder(key) {
    const requested = await orders.requestCancel(key)
    if (requested === undefined)
      throw new NotFound(`There is no order ${key.orderId}.`, { order_id: key.orderId })
    const { role, order } = requested
    const mayDrive = role === 'fresh' || role === 'resumed'
    const latest = mayDrive ? await driver.driveUntilDue(order) : await driver.awaitEnd(order)
    if (isFinal(latest) && latest.state !== 'cancelled')
      throw new OrderFinal(`Order ${key.orderId} is ${latest.state}; that is final.`, {
        order_id: key.orderId,
      })
    return latest
  }
}
