/** Places an order once, however often it is sent. */
import { IdempotencyKeyReused, UnknownSku } from '@oms/contracts/order'
import { InvalidRequest } from '@oms/problem/http-problems'
import type { Driver } from './drive-order.ts'
import type { Order } from './order.ts'
import type { AcceptCommand, Orders } from './ports.ts'

export interface PlaceResult {
  /** Not final: accepted and on its way; ask again with the same key or read it. */
  readonly order: Order
  readonly replayed: boolean
}

export type PlaceOrder = (command: AcceptCommand) => Promise<PlaceResult>

interface Dependencies {
  readonly orders: Orders
  readonly driver: Driver
}

/**
 * @throws UnknownSku, InvalidRequest nothing was stored; the key may be used again.
 * @throws IdempotencyKeyReused the key arrived with another body; nothing changed.
 */
export function createPlaceOrder({ orders, driver }: Dependencies): PlaceOrder {
  return async function placeOrder(command) {
    // Committed before anybody else hears of it: from here on the order is never lost.
    const accepted = await orders.accept(command)
    switch (accepted.role) {
      case 'unknown_sku':
        throw unknownSku(command, accepted.skus)
      case 'amount_too_large':
        throw new InvalidRequest('The order costs more than 10^12 minor units; split it.', {
          errors: [{ pointer: '/body/lines', detail: 'cost too much together' }],
        })
      case 'conflict':
        throw new IdempotencyKeyReused(
          `The key of order ${command.orderId} was used for another request; nothing changed. Send a new key.`,
          { order_id: command.orderId },
        )
      case 'final':
        return { order: accepted.order, replayed: true }
      case 'running':
        return { order: await driver.awaitEnd(accepted.order), replayed: true }
      case 'fresh':
      case 'resumed':
        return {
          order: await driver.driveUntilDue(accepted.order),
          replayed: accepted.role === 'resumed',
        }
    }
  }
}

function unknownSku({ currency, lines }: AcceptCommand, skus: readonly string[]): Error {
  const errors = lines.flatMap(({ sku }, index) =>
    skus.includes(sku)
      ? [{ pointer: `/body/lines/${index}/sku`, detail: `${sku} has no price in ${currency}` }]
      : [],
  )
  return new UnknownSku(
    `${skus.join(', ')} cannot be ordered in ${currency}; take SKUs from the catalogue.`,
    { errors },
  )
}
