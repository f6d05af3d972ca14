/** What the callers' proxies count while a run lasts, once a second: of the gateway for orders, of order-service for the rest. */
import { until } from '@oms/proofs/cluster/api'
import type { Envoy } from '@oms/proofs/cluster/envoy'
import type { Mesh } from '@oms/proofs/cluster/mesh'
import { INGRESS, OM } from '@oms/proofs/cluster/names'
import type { Signal } from './scenario.ts'

export const CALLEES = ['order', 'payment', 'inventory'] as const
type Callee = (typeof CALLEES)[number]

/** What is read of Envoy's cluster → its name here. */
const STATS = {
  upstream_rq_total: 'tries',
  upstream_rq_retry: 'retries',
  upstream_rq_retry_overflow: 'retries_refused',
  upstream_rq_pending_overflow: 'overflows',
  'outlier_detection.ejections_enforced_total': 'ejections',
} as const
type Count = (typeof STATS)[keyof typeof STATS]

export type Counts = Readonly<Record<Callee, Readonly<Record<Count, number>>>>

export interface Sample {
  /** When the look began: milliseconds since 1970. */
  readonly at: number
  /** Since the run began, summed over all proxies that were there. */
  readonly counts: Counts
}

export interface Observer {
  readonly samples: readonly Sample[]
  /** Resolves with the last look. */
  stop(): Promise<void>
}

const EVERY_MS = 1000
const PATTERN = Object.keys(STATS).join('|').replaceAll('.', '\\.')
const FILTER = `cluster\\.outbound\\|8080\\|.*\\|(${CALLEES.join('|')})-service\\.${OM}\\..*(${PATTERN})$`
const LINE = new RegExp(
  `^cluster\\.outbound\\|8080\\|[^|]*\\|(${CALLEES.join('|')})-service\\..*?;?\\.(${PATTERN}): (\\d+)$`,
)

export function emptyCounts(): Counts {
  const zero = () => Object.fromEntries(Object.values(STATS).map((name) => [name, 0]))
  return Object.fromEntries(CALLEES.map((callee) => [callee, zero()])) as unknown as Counts
}

/** Of one proxy. Exported for its test. */
export function countsIn(text: string): Counts {
  const counts = emptyCounts() as Record<Callee, Record<Count, number>>
  for (const line of text.split('\n')) {
    const [, callee, stat, value] = LINE.exec(line) ?? []
    if (callee === undefined) continue
    counts[callee as Callee][STATS[stat as keyof typeof STATS]] += Number(value)
  }
  return counts
}

export function plus(a: Counts, b: Counts, sign: 1 | -1 = 1): Counts {
  return Object.fromEntries(
    CALLEES.map((callee) => [
      callee,
      Object.fromEntries(
        Object.entries(a[callee]).map(([name, value]) => [
          name,
          value + sign * b[callee][name as Count],
        ]),
      ),
    ]),
  ) as unknown as Counts
}

async function callersOf(mesh: Mesh): Promise<readonly Envoy[]> {
  const all = await Promise.all([
    mesh.envoysOf('istio=ingressgateway', INGRESS),
    mesh.envoys('order-service'),
  ])
  return all.flat()
}

/** An ejection lasts 30 s times their number, and up to 10 s more. */
const RETURNED_WITHIN_MS = 180_000
const ACTIVE = 'ejections_active$'

/** Resolves once no caller leaves a pod out: half of them is the most, so that one that is left out saves the next. */
export async function untilNobodyIsEjected(mesh: Mesh): Promise<void> {
  await until('all pods that were ejected are back', RETURNED_WITHIN_MS, async () => {
    const texts = await Promise.all(
      (await callersOf(mesh)).map((envoy) => envoy.get(`/stats?filter=${ACTIVE}`).catch(() => '')),
    )
    return texts.some((text) => /: [1-9]/.test(text)) ? undefined : true
  })
}

/** A pod that is there at the beginning has counted before; one that comes later has not. */
export async function observe(mesh: Mesh): Promise<Observer> {
  const first = new Map<string, Counts>()
  const last = new Map<string, Counts>()
  const samples: Sample[] = []

  async function look(isFirst: boolean): Promise<void> {
    const at = Date.now()
    await Promise.all(
      (await callersOf(mesh)).map(async (envoy) => {
        // One that has just died has said all it will.
        const text = await envoy
          .get(`/stats?filter=${encodeURIComponent(FILTER)}`)
          .catch(() => undefined)
        if (text === undefined) return
        const counts = countsIn(text)
        if (isFirst) first.set(envoy.pod, counts)
        last.set(envoy.pod, counts)
      }),
    )
    const counts = [...last].reduce(
      (sum, [pod, now]) => plus(sum, plus(now, first.get(pod) ?? emptyCounts(), -1)),
      emptyCounts(),
    )
    samples.push({ at, counts })
  }

  await look(true)
  let looking = Promise.resolve()
  const timer = setInterval(() => {
    looking = looking.then(() => look(false)).catch(() => undefined)
  }, EVERY_MS)
  return {
    samples,
    async stop() {
      clearInterval(timer)
      await looking
      await look(false).catch(() => undefined)
    },
  }
}

/** What was counted between two moments, from the last look before to the first after. */
export function countedAround(samples: readonly Sample[], from: number, to: number): Counts {
  const before = samples.findLast(({ at }) => at <= from) ?? samples[0]
  return difference(before, samples.find(({ at }) => at >= to) ?? samples.at(-1))
}

/** From the first look after the one moment to the last before the other: nothing of what came before or after. */
export function countedWithin(samples: readonly Sample[], from: number, to: number): Counts {
  return difference(
    samples.find(({ at }) => at >= from),
    samples.findLast(({ at }) => at <= to),
  )
}

function difference(before: Sample | undefined, after: Sample | undefined): Counts {
  if (before === undefined || after === undefined || after.at < before.at) return emptyCounts()
  return plus(after.counts, before.counts, -1)
}

/** NaN: the tries of no request. */
export function signalOf(counts: Counts, signal: Signal): number {
  const [callee, name] = signal.split('.') as [Callee, string]
  const { tries, retries, ...others } = counts[callee]
  if (name === 'tries_per_request')
    return tries === 0 ? Number.NaN : tries / Math.max(1, tries - retries)
  if (name === 'retries') return retries
  return others[name as keyof typeof others]
}
