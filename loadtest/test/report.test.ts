/** The page of a run: what was promised, what was seen, and where to look. */
import type { Chart, Table } from '@oms/report/document'
import { expect, test } from 'vitest'
import { countsIn, emptyCounts } from '../src/observe.ts'
import { PROFILES } from '../src/profiles.ts'
import { toDocument } from '../src/report.ts'
import type { Judged } from '../src/run.ts'

const FROM = 1_000_000
const PAYMENT = 'cluster.outbound|8080||payment-service.order-management.svc.cluster.local;'

const judged: Judged = {
  scenario: 'payment-503',
  line: 'a line',
  target: 'the lab',
  profile: PROFILES.smoke,
  from: FROM,
  to: FROM + 30_000,
  window: { from: FROM + 4000, ending: FROM + 15_000, to: FROM + 16_000, what: 'a fault' },
  orders: [1, 2].map((n) => ({
    kind: 'order',
    load: 'acme',
    tenant: 'acme',
    journey: 'place',
    key: `order-${n}`,
    traceId: `trace-${n}`,
    body: {},
    at: FROM + 1000,
    asks: [{ at: FROM + 1000, ms: n * 10, status: 201, key: `order-${n}`, sha256: 'x' }],
    end: 'confirmed',
  })),
  samples: [
    { at: FROM, counts: emptyCounts() },
    {
      at: FROM + 2000,
      counts: countsIn(`${PAYMENT}.upstream_rq_total: 8\n${PAYMENT}.upstream_rq_retry: 4`),
    },
  ],
  summary: { kind: 'summary', thresholds: [], metrics: {} },
  audits: [],
  said: [],
  stored: [],
  findings: [
    {
      name: 'audit after',
      expected: 'nothing violated',
      seen: 'I1 acme/order-2: twice',
      holds: false,
    },
    { name: 'orders_open', expected: 'count==0', seen: '0', holds: true },
  ],
  holds: false,
}

const page = toDocument(judged, (traceId) => `http://127.0.0.1:16686/trace/${traceId}`)
const blocks = page.sections.flatMap((section) => section.blocks)
const chartOf = (title: string): Chart =>
  blocks.find((block): block is Chart => block.kind === 'chart' && block.title === title) as Chart
const points = (title: string, name: string) =>
  chartOf(title).series.find((series) => series.name === name)?.points

test('says first what was broken', () => {
  expect(page.verdict).toEqual({ text: '1 of 2 promises broken', tone: 'bad' })
})

test('names the orders of a violation, with their traces, and no other', () => {
  const orders = page.sections.find(({ title }) => title === 'Orders to look at')
  const [table] = (orders?.blocks ?? []) as readonly Table[]
  expect(table?.rows.map(([first]) => first)).toEqual([
    { text: 'order-2', mono: true, href: 'http://127.0.0.1:16686/trace/trace-2' },
  ])
})

test('shades the fault in every plot', () => {
  for (const block of blocks)
    if (block.kind === 'chart') expect(block.windows).toEqual([{ name: 'fault', from: 4, to: 16 }])
})

test('counts by seconds: arrivals, and tries of the proxies', () => {
  // Two in the first two seconds.
  expect(points('Arrivals and goodput', 'arrived')?.[0]).toEqual([0, 1])
  expect(points('Tries by the callers’ proxies', 'payment: tries')).toEqual([[2, 4]])
  expect(points('Tries by the callers’ proxies', 'payment: retries')).toEqual([[2, 2]])
})

test('tells quantiles of the first answers', () => {
  expect(points('Time to the first answer', 'p50')).toEqual([[0, 10]])
  expect(points('Time to the first answer', 'p99')).toEqual([[0, 20]])
})
