/** I3 to I6: what became of every order, and of what was paid and reserved for it. */
import type { Evidence, Finding } from './evidence.ts'
import { stateName } from './history.ts'

export function lostOrders({ acks = [], snapshot: { orders } }: Evidence): Finding[] {
  return acks.flatMap(({ key, fp, amount }) => {
    const order = orders.get(key)
    if (order === undefined) return [{ subject: key, why: 'acknowledged, then gone' }]
    if (order.fp !== fp) return [{ subject: key, why: 'acknowledged with another fingerprint' }]
    if (amount !== undefined && order.amount !== amount)
      return [{ subject: key, why: `acknowledged with ${amount}, stored with ${order.amount}` }]
    return []
  })
}

export function unendedOrders({ snapshot: { orders }, quiescent }: Evidence): Finding[] {
  return [...orders].flatMap(([key, { state, overdue }]) => {
    if (overdue) return [{ subject: key, why: `${stateName(state)}, due for more than 60 s` }]
    if (quiescent && state < 100) return [{ subject: key, why: `still ${stateName(state)}` }]
    return []
  })
}

const PAYMENT_STATES: Readonly<Record<number, string>> = {
  1: 'processing',
  2: 'captured',
  3: 'declined',
  4: 'voided',
}

const RESERVATION_STATES: Readonly<Record<number, string>> = {
  1: 'held',
  2: 'committed',
  3: 'released',
  9: 'rejected',
}

export function unpaidOrders({ snapshot, quiescent }: Evidence): Finding[] {
  const { orders, payments, reservations } = snapshot
  return [...orders].flatMap(([key, { state }]) => {
    if (state !== 100) return []
    const payment = payments.get(key)?.state ?? 0
    const reservation = reservations.get(key) ?? 0
    return [
      ...(payment === 2 ? [] : [`payment ${PAYMENT_STATES[payment] ?? 'absent'}`]),
      ...(reservation === 2 || (reservation === 1 && !quiescent)
        ? []
        : [`reservation ${RESERVATION_STATES[reservation] ?? 'absent'}`]),
    ].map((why) => ({ subject: key, why: `confirmed, ${why}` }))
  })
}

export function keptOfFailed({ snapshot }: Evidence): Finding[] {
  const { orders, payments, refunds, reservations } = snapshot
  const refunded = new Map<string, number>()
  for (const { key, state, amount } of refunds)
    if (state === 2) refunded.set(key, (refunded.get(key) ?? 0) + amount)
  return [...orders].flatMap(([key, { state }]) => {
    if (state !== 110 && state !== 120 && state !== 130) return []
    const payment = payments.get(key)
    const reservation = reservations.get(key) ?? 0
    const back = refunded.get(key) ?? 0
    return [
      ...(payment?.state === 1 ? ['payment processing'] : []),
      ...(payment?.state === 2 && back !== payment.amount
        ? [`captured ${payment.amount}, refunded ${back}`]
        : []),
      ...(reservation === 1 || reservation === 2
        ? [`reservation ${RESERVATION_STATES[reservation]}`]
        : []),
    ].map((why) => ({ subject: key, why: `${stateName(state)}, ${why}` }))
  })
}
