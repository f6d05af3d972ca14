/** Each judgement, by a run in which only its promise is broken. */
import { describe, expect, test } from 'vitest'
import { CATALOGUE } from '../src/catalogue.ts'
import { judge } from '../src/judge.ts'
import { countsIn, emptyCounts } from '../src/observe.ts'
import { goodputPastThePeak } from '../src/overload.ts'
import type { Ask, OrderTold } from '../src/plan.ts'
import { PROFILES } from '../src/profiles.ts'
import type { Finding, Run } from '../src/run.ts'
import type { Scenario } from '../src/scenario.ts'

const FROM = 1_000_000
const asked = (more: Partial<Ask> = {}): Ask => ({
  at: FROM,
  ms: 10,
  status: 201,
  key: 'a',
  sha256: 'x',
  ...more,
})

const unanswered = (key: string): Ask => ({ at: FROM, ms: 10, status: 0, key })

function order(key: string, more: Partial<OrderTold> = {}): OrderTold {
  const at = more.at ?? FROM
  return {
    kind: 'order',
    load: 'acme',
    tenant: 'acme',
    journey: 'place',
    key,
    traceId: '0',
    body: {},
    asks: [asked({ key, at })],
    end: 'confirmed',
    ...more,
    at,
  }
}

function runWith(more: Partial<Run> = {}): Run {
  const orders = more.orders ?? [order('a'), order('b', { at: FROM + 50_000 })]
  return {
    scenario: 'x',
    line: '',
    target: '',
    profile: PROFILES.average,
    from: FROM,
    to: FROM + 55_000,
    window: { from: FROM + 8000, ending: FROM + 30_000, to: FROM + 33_000, what: 'a fault' },
    samples: [],
    said: [],
    summary: {
      kind: 'summary',
      thresholds: [{ metric: 'orders_at_once', condition: 'rate>=0.99', ok: true }],
      metrics: { orders_at_once: { rate: 1 }, iterations: { count: orders.length } },
    },
    audits: [{ when: 'after', checked: ['I1'], broken: [] }],
    stored: orders.flatMap(({ asks }) => asks.map(({ key }) => key)),
    ...more,
    orders,
  }
}

const scenario = {
  ...(CATALOGUE[0] as Scenario),
  signals: { 'payment.tries_per_request': { min: 1.4, max: 1.6 } },
} satisfies Scenario

const redOf = (findings: readonly Finding[]): readonly string[] =>
  findings.filter(({ holds }) => !holds).map(({ name }) => name)
const red = (more: Partial<Run>): readonly string[] => redOf(judge(runWith(more), scenario))

test('a run that keeps every promise is green', () => {
  expect(red({})).toEqual([])
})

describe('is red where', () => {
  test('k6 says that a condition does not hold', () => {
    const { summary } = runWith()
    const thresholds = [{ metric: 'orders_at_once', condition: 'rate>=0.99', ok: false }]
    expect(red({ summary: { ...summary, thresholds } })).toEqual(['orders_at_once'])
  })

  test('nothing was counted of what a condition is about', () => {
    const { summary } = runWith()
    const metrics = { ...summary.metrics, orders_at_once: {} }
    expect(red({ summary: { ...summary, metrics } })).toEqual(['orders_at_once'])
  })

  test.each([
    [10, []],
    [0, ['payment.tries_per_request']],
    [25, ['payment.tries_per_request']],
  ])('of 30 tries %i are retries', (retries, expected) => {
    const of = 'cluster.outbound|8080||payment-service.order-management.svc.cluster.local;'
    const counts = countsIn(`${of}.upstream_rq_total: 30\n${of}.upstream_rq_retry: ${retries}`)
    const samples = [
      { at: FROM + 9000, counts: emptyCounts() },
      { at: FROM + 29_000, counts },
    ]
    expect(red({ samples })).toEqual(expected)
  })

  test('k6 had no client for an arrival', () => {
    const { summary } = runWith()
    const metrics = { ...summary.metrics, dropped_iterations: { count: 1 } }
    expect(red({ summary: { ...summary, metrics } })).toEqual(['arrivals that k6 dropped'])
  })

  test('the script of k6 broke off before it told what became of an order', () => {
    const { summary } = runWith()
    const metrics = { ...summary.metrics, iterations: { count: 3 } }
    expect(red({ summary: { ...summary, metrics } })).toEqual(['arrivals of which k6 told nothing'])
    const listed = { ...metrics, lists_read: { count: 1 } }
    expect(red({ summary: { ...summary, metrics: listed } })).toEqual([])
  })

  test('one intent has become two orders', () => {
    const asks = [unanswered('a'), asked({ key: 'a2' })]
    const orders = [order('a', { asks }), order('b', { at: FROM + 50_000 })]
    expect(red({ orders })).toEqual(['orders placed twice'])
    expect(red({ orders, stored: ['a2', 'b'] })).toEqual([])
  })

  test('an order that was accepted is not there', () => {
    expect(red({ stored: ['b'] })).toEqual(['accepted orders that are gone'])
  })

  test('an order ended later than 30 s after the fault, or not at all', () => {
    const late = order('a', { asks: [asked({ at: FROM + 62_990 })] })
    const after = order('b', { at: FROM + 50_000 })
    expect(red({ orders: [late, after] })).toEqual([])
    const later = order('a', { asks: [asked({ at: FROM + 62_991 })] })
    expect(red({ orders: [later, after] })).toEqual(['orders not final 30 s after the fault'])
    expect(red({ orders: [order('a', { end: 'open' }), after] })).toEqual([
      'orders not final 30 s after the fault',
    ])
  })

  test('one of fifty orders after the fault waits, and where none came', () => {
    const good = Array.from({ length: 49 }, (_, n) => order(`g${n}`, { at: FROM + 40_000 }))
    const { sha256, ...waiting } = asked({ key: 'w', at: FROM + 40_000, status: 202 })
    const waits = order('w', {
      at: FROM + 40_000,
      asks: [waiting, asked({ key: 'w', at: FROM + 41_000 })],
    })
    expect(red({ orders: [...good, waits] })).toEqual(['goodput from 5 s after the fault'])
    // Within the five seconds nobody is judged.
    expect(red({ orders: [...good, { ...waits, at: FROM + 37_000 }] })).toEqual([])
    expect(red({ orders: [order('a')] })).toEqual(['goodput from 5 s after the fault'])
  })

  test('the audit finds something, or could not look', () => {
    expect(red({ audits: [{ when: 'after', checked: ['I1'], broken: ['I1 x: twice'] }] })).toEqual([
      'audit after',
    ])
    expect(red({ audits: [{ when: 'after', checked: [], broken: [] }] })).toEqual(['audit after'])
  })
})

describe('past the peak', () => {
  /** Orders a second that are done in the steps of the profile: 1.2, 2, 5, 10, and after it. */
  function done(perStep: readonly number[]): readonly string[] {
    let at = FROM
    let step = 0
    const orders: OrderTold[] = []
    for (const { seconds } of PROFILES.overload.stages) {
      const rate = seconds > 1 ? (perStep[step++] ?? 0) : 0
      for (let n = 0; n < rate * seconds; n++)
        orders.push(order(`${at}-${n}`, { at: at + (n / rate) * 1000 }))
      at += seconds * 1000
    }
    return redOf(goodputPastThePeak(runWith({ profile: PROFILES.overload, orders })))
  }

  test('what is left of the goodput decides', () => {
    expect(done([20, 19, 18, 16, 12])).toEqual([])
    expect(done([20, 18, 18, 16, 12])).toEqual(['goodput at 2 times the peak'])
    expect(done([20, 19, 17, 16, 12])).toEqual(['goodput at 5 times the peak'])
    expect(done([20, 19, 18, 15, 12])).toEqual(['goodput at 10 times the peak'])
    expect(done([20, 19, 18, 16, 0])).toEqual(['goodput from 5 s after the load'])
  })
})
