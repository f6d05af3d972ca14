/** Reserves all lines of an order or none, once, however often it is asked. */
import { requireUniqueSkus } from '@oms/contracts/lines'
import { IdempotencyKeyReused } from '@oms/contracts/order'
import type { Log, ReserveCommand, Stock } from './ports.ts'
import type { Reservation } from './reservation.ts'

export interface ReservationResult {
  readonly reservation: Reservation
  readonly replayed: boolean
}

export type ReserveStock = (command: ReserveCommand) => Promise<ReservationResult>

interface Dependencies {
  readonly stock: Stock
  readonly log: Log
}

/**
 * The reservation as stored: `rejected` where a line is short, `released` where a release came first.
 * @throws InvalidRequest a SKU stands twice.
 * @throws IdempotencyKeyReused the order arrived before with other lines; nothing changed.
 */
export function createReserveStock({ stock, log }: Dependencies): ReserveStock {
  return async function reserveStock(command) {
    const { orderId } = command
    requireUniqueSkus(orderId, command.lines)
    const { role, reservation } = await stock.reserve(command)
    if (role === 'conflict')
      throw new IdempotencyKeyReused(
        `Order ${orderId} reserved other lines; nothing changed. Send what was sent first.`,
        { order_id: orderId },
        { instance: `/api/v1/reservations/${orderId}` },
      )
    if (role === 'fresh')
      log.info({ order_id: orderId, state: reservation.state }, 'reservation decided')
    return { reservation, replayed: role === 'read' }
  }
}
