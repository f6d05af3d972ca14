/** What is read of Envoy's statistics. */
import { describe, expect, test } from 'vitest'
import {
  countedAround,
  countedWithin,
  countsIn,
  emptyCounts,
  plus,
  signalOf,
} from '../src/observe.ts'

const PAYMENT = 'cluster.outbound|8080||payment-service.order-management.svc.cluster.local;'
const STABLE = 'cluster.outbound|8080|stable|order-service.order-management.svc.cluster.local;'
const CANARY = 'cluster.outbound|8080|canary|order-service.order-management.svc.cluster.local;'

const text = `${PAYMENT}.upstream_rq_total: 30
${PAYMENT}.upstream_rq_retry: 10
${PAYMENT}.upstream_rq_retry_overflow: 2
${PAYMENT}.upstream_rq_retry_success: 9
${PAYMENT}.upstream_rq_pending_overflow: 4
${PAYMENT}.outlier_detection.ejections_enforced_total: 1
${PAYMENT}.outlier_detection.ejections_active: 1
${STABLE}.upstream_rq_total: 9
${CANARY}.upstream_rq_total: 1
cluster.xds-grpc.upstream_rq_total: 7
`

describe('counts of a proxy', () => {
  test('are those of the three services, subsets together', () => {
    const counts = countsIn(text)
    expect(counts.payment).toEqual({
      tries: 30,
      retries: 10,
      retries_refused: 2,
      overflows: 4,
      ejections: 1,
    })
    expect(counts.order.tries).toBe(10)
    expect(counts.inventory.tries).toBe(0)
  })

  test('tell tries for each request', () => {
    expect(signalOf(countsIn(text), 'payment.tries_per_request')).toBe(1.5)
    expect(signalOf(emptyCounts(), 'payment.tries_per_request')).toBeNaN()
  })
})

describe('a window', () => {
  const [one, two] = [countsIn(text), plus(countsIn(text), countsIn(text))]
  const samples = [
    { at: 1000, counts: emptyCounts() },
    { at: 2000, counts: one },
    { at: 3000, counts: two },
    { at: 4000, counts: plus(two, one) },
  ]
  test('counts from the last look before it to the first after it', () => {
    expect(countedAround(samples, 2500, 2900).payment.tries).toBe(30)
    expect(countedAround(samples, 0, 9000).payment.tries).toBe(90)
  })

  test('within counts from the first look in it to the last', () => {
    expect(countedWithin(samples, 1500, 3500).payment.tries).toBe(30)
    expect(countedWithin(samples, 2500, 2900).payment.tries).toBe(0)
    expect(countedWithin(samples, 0, 9000).payment.tries).toBe(90)
  })
})
