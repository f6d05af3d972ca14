/**
 * The fault points of protocol §8 as data: on which journey a process comes by each, and how the one that recovers the
 * order comes by it again. A test compares the names with the sources.
 */
import { SERVICES, type Service } from '../system/system.ts'
import type { JourneyName } from './journeys.ts'

export interface FaultPoint {
  /** Begins with the service. */
  readonly name: string
  readonly journey: JourneyName
  readonly recovery: Recovery
}

type Recovery =
  /** The lease runs out, and whoever takes over comes by the same point. */
  | 'resumed'
  /** Whoever asked asks again. */
  | 'repeated'
  /** What was committed is not done twice: of another order, a process dies here first, and its recovery at the point. */
  | { readonly after: string }

export const FAULT_POINTS: readonly FaultPoint[] = [
  { name: 'order.t1.before', journey: 'place', recovery: 'repeated' },
  { name: 'order.t1.after_commit', journey: 'place', recovery: 'repeated' },
  { name: 'order.reserve.sent', journey: 'place', recovery: 'resumed' },
  { name: 'order.reserve.answered', journey: 'place', recovery: 'resumed' },
  { name: 'order.charge.sent', journey: 'place', recovery: 'resumed' },
  { name: 'order.charge.answered', journey: 'place', recovery: 'resumed' },
  { name: 'order.t2.before', journey: 'place', recovery: 'resumed' },
  { name: 'order.t2.after_commit', journey: 'place', recovery: { after: 'order.t2.before' } },
  { name: 'order.defer.after_commit', journey: 'outage', recovery: 'resumed' },
  {
    name: 'order.cancel.after_flag',
    journey: 'cancelWaiting',
    recovery: { after: 'order.charge.sent' },
  },
  { name: 'order.void.answered', journey: 'cancel', recovery: 'resumed' },
  { name: 'order.refund.answered', journey: 'refund', recovery: 'resumed' },
  { name: 'order.release.answered', journey: 'decline', recovery: 'resumed' },
  {
    name: 'order.final.after_commit',
    journey: 'decline',
    recovery: { after: 'order.release.answered' },
  },
  { name: 'order.sweep.claimed', journey: 'outage', recovery: 'resumed' },
  { name: 'order.relay.claimed', journey: 'place', recovery: 'resumed' },
  { name: 'order.relay.settled', journey: 'place', recovery: 'resumed' },
  { name: 'order.relay.published', journey: 'place', recovery: { after: 'order.relay.settled' } },
  { name: 'payment.p1.after_commit', journey: 'place', recovery: 'resumed' },
  { name: 'payment.psp.sent', journey: 'place', recovery: 'resumed' },
  { name: 'payment.psp.answered', journey: 'place', recovery: 'resumed' },
  {
    name: 'payment.p2.after_commit',
    journey: 'place',
    recovery: { after: 'payment.psp.answered' },
  },
  { name: 'payment.void.after_commit', journey: 'cancel', recovery: 'resumed' },
  { name: 'payment.sweep.claimed', journey: 'openCharge', recovery: 'resumed' },
  { name: 'payment.refund.after_intent', journey: 'refund', recovery: 'resumed' },
  { name: 'payment.refund.psp_answered', journey: 'refund', recovery: 'resumed' },
  { name: 'inventory.r1.after_commit', journey: 'place', recovery: 'resumed' },
  { name: 'inventory.release.after_commit', journey: 'decline', recovery: 'resumed' },
  { name: 'inventory.settle.after_commit', journey: 'place', recovery: 'resumed' },
  { name: 'inventory.expiry.answered', journey: 'restore', recovery: 'repeated' },
]

/** @throws where the name begins with no service. */
export function serviceOf(point: string): Service {
  const service = SERVICES.find((name) => point.startsWith(`${name}.`))
  if (service === undefined) throw new Error(`The fault point ${point} names no service.`)
  return service
}
