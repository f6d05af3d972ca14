/** How a reservation ends: released, settled, or expired, which is a question to order-service. */
import { ReservationCommitted, ReservationReleased } from '@oms/contracts/inventory'
import { NotFound } from '@oms/problem/http-problems'
import type { Log, OrderKey, Orders, Stock, Written } from './ports.ts'
import { ALERT_AFTER_SECONDS } from './reservation.ts'
import type { ReservationResult } from './reserve-stock.ts'

export type ReleaseStock = (key: OrderKey) => Promise<ReservationResult>

export interface SettleStock {
  /**
   * @throws NotFound there is no such reservation.
   * @throws ReservationReleased nothing is held and nothing ever will be: it was released, or rejected.
   */
  one(key: OrderKey): Promise<ReservationResult>
  /** Of each order what stands; orders without a reservation are left out. */
  all(tenantId: string, orderIds: readonly string[]): Promise<readonly Written[]>
}

interface Dependencies {
  readonly stock: Stock
  readonly log: Log
}

/**
 * Released or rejected; a tombstone where nothing was reserved yet, which no later reserve gets past.
 * @throws ReservationCommitted the stock is sold.
 */
export function createReleaseStock({ stock, log }: Dependencies): ReleaseStock {
  return async function releaseStock(key) {
    const { role, reservation } = await stock.release(key)
    if (role === 'committed')
      throw new ReservationCommitted(
        `The stock of order ${key.orderId} is sold; it cannot be released.`,
        { order_id: key.orderId },
        instanceOf(key),
      )
    if (role === 'fresh') log.info({ order_id: key.orderId }, 'reservation released')
    return { reservation, replayed: role === 'read' }
  }
}

export function createSettleStock({ stock, log }: Dependencies): SettleStock {
  async function all(tenantId: string, orderIds: readonly string[]): Promise<readonly Written[]> {
    const settled = await stock.settle(tenantId, orderIds)
    const committed = settled.filter(({ role }) => role === 'fresh').length
    if (committed > 0) log.info({ tenant_id: tenantId, committed }, 'reservations committed')
    return settled
  }

  async function one(key: OrderKey): Promise<ReservationResult> {
    const [settled] = await all(key.tenantId, [key.orderId])
    if (settled === undefined)
      throw new NotFound(
        `There is no reservation of order ${key.orderId}; that is not a verdict.`,
        { order_id: key.orderId },
        instanceOf(key),
      )
    const { role, reservation } = settled
    if (reservation.state === 'released' || reservation.state === 'rejected')
      throw new ReservationReleased(
        `Order ${key.orderId} holds no stock, its reservation is ${reservation.state}; place a new order.`,
        { order_id: key.orderId },
        instanceOf(key),
      )
    return { reservation, replayed: role === 'read' }
  }

  return { one, all }
}

/** The most reservations one pass asks about. */
const MAX_ASKED = 64

/**
 * One pass over expired reservations: time alone frees no stock, for the order may be paid. Without an answer the
 * pass ends, the next would get none either; what was claimed is due again after 60 s.
 */
export async function expireReservations(
  atOnce: number,
  dependencies: Dependencies & { readonly orders: Orders },
): Promise<number> {
  let asked = 0
  while (asked < MAX_ASKED) {
    const due = await dependencies.stock.claimExpired(atOnce)
    asked += due.length
    const ended = await Promise.allSettled(due.map((each) => expire(each, dependencies)))
    const failed = ended.find(({ status }) => status === 'rejected')
    if (failed !== undefined) throw (failed as PromiseRejectedResult).reason
    const answered = ended.every((each) => each.status === 'fulfilled' && each.value)
    if (due.length < atOnce || !answered) break
  }
  return asked
}

/** Does what order-service says; false where it said nothing. */
async function expire(
  { ageSeconds, ...key }: OrderKey & { readonly ageSeconds: number },
  { stock, orders, log }: Dependencies & { readonly orders: Orders },
): Promise<boolean> {
  const fields = { order_id: key.orderId, tenant_id: key.tenantId }
  const verdict = await orders.verdictOf(key)
  switch (verdict) {
    case 'commit': {
      const [settled] = await stock.settle(key.tenantId, [key.orderId])
      const state = settled?.reservation.state
      if (state === 'committed') log.info(fields, 'expired reservation committed')
      else log.error({ ...fields, state }, 'a confirmed order has lost its reservation')
      return true
    }
    case 'release': {
      const { role } = await stock.release(key)
      if (role === 'committed') log.error(fields, 'a failed order has its reservation committed')
      else log.info(fields, 'expired reservation released')
      return true
    }
    case 'keep':
    case undefined:
      if (ageSeconds > ALERT_AFTER_SECONDS)
        log.error(
          { ...fields, age_s: Math.round(ageSeconds) },
          'reservation held for an hour without a verdict',
        )
      return verdict !== undefined
  }
}

function instanceOf({ orderId }: OrderKey): { readonly instance: string } {
  return { instance: `/api/v1/reservations/${orderId}` }
}
