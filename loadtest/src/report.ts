/** A run as a page and as JSON: report.html, report.json. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { durationInWords, timeInWords } from '@oms/proofs/words'
import type { Block, Chart, Line, ReportDocument, Series } from '@oms/report/document'
import { renderHtml } from '@oms/report/html'
import { CALLEES, type Counts, plus, type Sample } from './observe.ts'
import type { OrderTold } from './plan.ts'
import type { Judged } from './run.ts'

/** Where a trace is read; undefined where nobody keeps them. */
export type TraceUrl = (traceId: string) => string | undefined

/** Gives the path of the page. */
export function writeReport(folder: string, judged: Judged, traceUrl: TraceUrl): string {
  writeFileSync(join(folder, 'report.json'), `${JSON.stringify(judged, undefined, 1)}\n`)
  const page = join(folder, 'report.html')
  writeFileSync(page, renderHtml(toDocument(judged, traceUrl)))
  return page
}

export function toDocument(judged: Judged, traceUrl: TraceUrl): ReportDocument {
  const { scenario, line, without, target, from, to, orders, findings, holds, window, said } =
    judged
  const red = findings.filter((finding) => !finding.holds).length
  const troubled = orders.filter((order) =>
    isTroubled(
      order,
      findings.map(({ seen }) => seen),
    ),
  )
  return {
    title: `Load: ${scenario}`,
    subtitle: `${line}${without === undefined ? '' : `; without ${without}`}`,
    verdict: holds
      ? { text: `${findings.length} promises kept`, tone: 'good' }
      : { text: `${red} of ${findings.length} promises broken`, tone: 'bad' },
    facts: [
      ['Target', target],
      ['Began', timeInWords(new Date(from).toISOString())],
      ['Orders arrived for', durationInWords(to - from)],
      ['Orders', String(orders.length)],
      ['Fault', window.what ?? 'none'],
    ],
    sections: [
      { title: 'What was promised', blocks: [findingTable(judged)] },
      { title: 'Over time', blocks: charts(judged) },
      ...(troubled.length === 0
        ? []
        : [{ title: 'Orders to look at', blocks: [orderTable(troubled, traceUrl)] }]),
      ...(said.length === 0
        ? []
        : [
            {
              title: 'What k6 said',
              blocks: [{ kind: 'preformatted', text: said.join('\n') } as const],
            },
          ]),
    ],
  }
}

function findingTable({ findings }: Judged): Block {
  return {
    kind: 'table',
    columns: [
      { title: 'Promise' },
      { title: 'Expected', mono: true },
      { title: 'Seen', mono: true },
    ],
    rows: findings.map(({ name, expected, seen, holds }) => [
      { text: name, tone: holds ? 'good' : 'bad' },
      expected,
      seen,
    ]),
  }
}

/** Named by a finding, wrong, open, or asked for three times and more. */
function isTroubled({ key, end, asks, problem }: OrderTold, seen: readonly string[]): boolean {
  return (
    problem !== undefined ||
    end === 'open' ||
    asks.length >= 3 ||
    seen.some((text) => text.includes(key))
  )
}

const ROWS = 50

function orderTable(orders: readonly OrderTold[], traceUrl: TraceUrl): Block {
  const shown = orders.slice(0, ROWS)
  return {
    kind: 'table',
    ...(orders.length > ROWS ? { caption: `${ROWS} of ${orders.length}` } : {}),
    columns: [
      { title: 'Order', mono: true },
      { title: 'Tenant' },
      { title: 'Answers', mono: true },
      { title: 'End' },
      { title: 'Wrong' },
    ],
    rows: shown.map(({ key, tenant, traceId, asks, end, problem = '' }): readonly Line[] => [
      linked(key, traceUrl(traceId)),
      tenant,
      asks.map(({ status }) => status || 'none').join(' '),
      end,
      problem,
    ]),
  }
}

function linked(text: string, url: string | undefined): Line {
  return url !== undefined && /^https?:\/\//.test(url)
    ? { text, mono: true, href: url as `https://${string}` }
    : { text, mono: true }
}

/** Seconds of a point. */
const BIN = 2

function charts(judged: Judged): readonly Block[] {
  const { from, to, window, orders, samples } = judged
  const windows =
    window.what === undefined
      ? []
      : [{ name: 'fault', from: (window.from - from) / 1000, to: (window.to - from) / 1000 }]
  const last = Math.max(to, ...orders.flatMap(({ asks }) => asks.map(({ at, ms }) => at + ms)))
  const seconds = Math.ceil((last - from) / 1000)
  const bins = Array.from({ length: Math.ceil(seconds / BIN) }, (_, n) => n * BIN)
  const chart = (title: string, unit: string, series: readonly Series[]): Chart => ({
    kind: 'chart',
    title,
    unit,
    seconds,
    series,
    windows,
  })
  const perSecond = (name: string, moments: readonly number[]): Series => {
    const counts = new Map<number, number>()
    for (const at of moments) {
      const bin = binOf(at - from)
      counts.set(bin, (counts.get(bin) ?? 0) + 1)
    }
    return { name, points: bins.map((bin) => [bin, (counts.get(bin) ?? 0) / BIN]) }
  }
  const asks = orders.flatMap((order) => order.asks)
  const ends = orders.flatMap(({ end, asks: of }) => {
    const final = of.at(-1)
    return final === undefined ? [] : [{ end, at: final.at + final.ms }]
  })
  const states = ['confirmed', 'refused', 'cancelled', 'shed', 'open', 'wrong'] as const
  return [
    chart('Arrivals and goodput', 'orders/s', [
      perSecond(
        'arrived',
        orders.map(({ at }) => at),
      ),
      perSecond(
        'verdict at once',
        orders.filter(({ asks: [first] }) => first?.sha256 !== undefined).map(({ at }) => at),
      ),
      perSecond(
        'ended',
        ends.filter(({ end }) => end !== 'open').map(({ at }) => at),
      ),
    ]),
    chart(
      'How orders ended',
      'orders/s',
      states
        .map((state) =>
          perSecond(
            state,
            ends.filter(({ end }) => end === state).map(({ at }) => at),
          ),
        )
        .filter(({ points }) => points.some(([, value]) => value > 0)),
    ),
    chart(
      'Answers to clients',
      '1/s',
      (
        [
          ['2xx', 200],
          ['4xx', 400],
          ['5xx', 500],
          ['none', 0],
        ] as const
      )
        .map(([name, least]) =>
          perSecond(
            name,
            asks
              .filter(({ status }) => Math.floor(status / 100) * 100 === least)
              .map(({ at }) => at),
          ),
        )
        .concat(
          perSecond(
            '429',
            asks.filter(({ status }) => status === 429).map(({ at }) => at),
          ),
        )
        .filter(({ points }) => points.some(([, value]) => value > 0)),
    ),
    chart('Time to the first answer', 'ms', quantiles(orders, from)),
    ...meshCharts(samples, from, chart),
  ]
}

function binOf(ms: number): number {
  return Math.floor(ms / 1000 / BIN) * BIN
}

function quantiles(orders: readonly OrderTold[], from: number): readonly Series[] {
  const bins = Map.groupBy(orders, ({ at }) => binOf(at - from))
  const sorted = [...bins].map(
    ([bin, of]) =>
      [bin, of.map(({ asks: [first] }) => first?.ms ?? 0).sort((a, b) => a - b)] as const,
  )
  return (
    [
      ['p50', 0.5],
      ['p95', 0.95],
      ['p99', 0.99],
    ] as const
  ).map(([name, q]) => ({
    name,
    points: sorted.map(([bin, ms]) => [bin, ms[Math.ceil(q * ms.length) - 1] ?? 0] as const),
  }))
}

function meshCharts(
  samples: readonly Sample[],
  from: number,
  chart: (title: string, unit: string, series: readonly Series[]) => Chart,
): readonly Chart[] {
  if (samples.length === 0) return []
  const at = (sample: Sample): number => (sample.at - from) / 1000
  const rate = (name: string, read: (counts: Counts) => number): Series => ({
    name,
    points: samples.slice(1).map((sample, n) => {
      const before = samples[n] as Sample
      const seconds = Math.max(0.001, (sample.at - before.at) / 1000)
      return [at(sample), read(plus(sample.counts, before.counts, -1)) / seconds] as const
    }),
  })
  const total = (name: string, read: (counts: Counts) => number): Series => ({
    name,
    steps: true,
    points: samples.map((sample) => [at(sample), read(sample.counts)] as const),
  })
  const some = (series: readonly Series[]): readonly Series[] =>
    series.filter(({ points }) => points.some(([, value]) => value > 0))
  return [
    chart(
      'Tries by the callers’ proxies',
      '1/s',
      some(
        CALLEES.flatMap((callee) => [
          rate(`${callee}: tries`, (counts) => counts[callee].tries),
          rate(`${callee}: retries`, (counts) => counts[callee].retries),
        ]),
      ),
    ),
    chart(
      'Ejections and refusals of the mesh, since the beginning',
      'times',
      some(
        CALLEES.flatMap((callee) => [
          total(`${callee}: ejections`, (counts) => counts[callee].ejections),
          total(`${callee}: pool overflows`, (counts) => counts[callee].overflows),
          total(`${callee}: retries refused`, (counts) => counts[callee].retries_refused),
        ]),
      ),
    ),
  ]
}
