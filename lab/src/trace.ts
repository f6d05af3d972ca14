/** A trace as Jaeger keeps it, and as a tree on the terminal. */
import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { type Lab, urlOf } from './lab.ts'

export interface TraceHead {
  readonly traceId: string
  /** Of the caller, which sends no span itself. */
  readonly spanId: string
  readonly headers: Readonly<Record<string, string>>
}

/** Proxies obey it in place of their own dice. Envoy believes B3 first; both are sent, as a traced caller would. */
export function traceHead(sampled: boolean): TraceHead {
  const traceId = randomBytes(16).toString('hex')
  const spanId = randomBytes(8).toString('hex')
  const b3 = { 'x-b3-traceid': traceId, 'x-b3-spanid': spanId, 'x-b3-sampled': sampled ? '1' : '0' }
  const traceparent = `00-${traceId}-${spanId}-0${sampled ? '1' : '0'}`
  return { traceId, spanId, headers: { ...b3, traceparent } }
}

export interface Span {
  readonly id: string
  readonly parentId: string | undefined
  readonly service: string
  readonly operation: string
  readonly startMicros: number
  readonly durationMicros: number
  readonly tags: Readonly<Record<string, unknown>>
}

interface JaegerSpan {
  readonly spanID: string
  readonly processID: string
  readonly operationName: string
  readonly startTime: number
  readonly duration: number
  readonly references: readonly { readonly refType: string; readonly spanID: string }[]
  readonly tags: readonly { readonly key: string; readonly value: unknown }[]
}

/** What `GET /api/traces/{id}` answers. */
interface JaegerAnswer {
  readonly data: readonly {
    readonly spans: readonly JaegerSpan[]
    readonly processes: Readonly<Record<string, { readonly serviceName: string }>>
  }[]
}

/** The spans that have arrived so far. */
export async function readTrace(lab: Lab, traceId: string): Promise<readonly Span[]> {
  const answer = await fetch(`${urlOf(lab, 'jaeger')}/api/traces/${traceId}`)
  return answer.ok ? spansIn((await answer.json()) as JaegerAnswer) : []
}

export function spansIn({ data }: JaegerAnswer): readonly Span[] {
  return data.flatMap(({ spans, processes }) =>
    spans.map((span) => ({
      id: span.spanID,
      parentId: span.references.find(({ refType }) => refType === 'CHILD_OF')?.spanID,
      service: processes[span.processID]?.serviceName ?? 'unknown',
      operation: span.operationName,
      startMicros: span.startTime,
      durationMicros: span.duration,
      tags: Object.fromEntries(span.tags.map(({ key, value }) => [key, value])),
    })),
  )
}

/** Spans whose parent never came. */
export function orphans(spans: readonly Span[]): readonly Span[] {
  const ids = new Set(spans.map(({ id }) => id))
  return spans.filter(({ parentId }) => parentId !== undefined && !ids.has(parentId))
}

/** 15 s: proxies send every 5, applications every second. */
const WHOLE_WITHIN_MS = 15_000

/** Polls until every service of `services` has spoken and no span lacks its parent, or gives what is there. */
export async function untilWhole(
  lab: Lab,
  traceId: string,
  services: readonly string[],
  remoteRoot: string,
): Promise<readonly Span[]> {
  const until = performance.now() + WHOLE_WITHIN_MS
  for (;;) {
    const spans = await readTrace(lab, traceId)
    const spoke = new Set(spans.map(({ service }) => service))
    const lost = orphans(spans).filter(({ parentId }) => parentId !== remoteRoot)
    const whole = services.every((service) => spoke.has(service)) && lost.length === 0
    if (whole || performance.now() > until) return spans
    await pause(250)
  }
}

/** One line a span, two spaces deeper than its parent; brothers in order of their start. */
export function treeOf(spans: readonly Span[], tell: (span: Span) => string): readonly string[] {
  const ids = new Set(spans.map(({ id }) => id))
  const below = (parent: string | undefined, indent: string): readonly string[] =>
    spans
      .filter(({ parentId: of }) =>
        parent === undefined ? of === undefined || !ids.has(of) : of === parent,
      )
      .toSorted((a, b) => a.startMicros - b.startMicros)
      .flatMap((span) => [`${indent}${tell(span)}`, ...below(span.id, `${indent}  `)])
  return below(undefined, '')
}

/** For a person. */
export function drawTree(spans: readonly Span[]): string {
  return treeOf(spans, describe).join('\n')
}

const SHOWN_TAGS = [
  'order_id',
  'tenant',
  'tenant_id',
  'service_type',
  'http.status_code',
  'response_flags',
]

function describe({ service, operation, durationMicros, tags }: Span): string {
  const shown = SHOWN_TAGS.filter((tag) => tags[tag] !== undefined && tags[tag] !== '-').map(
    (tag) => `${tag}=${tags[tag]}`,
  )
  return `${service}  ${operation}  ${(durationMicros / 1000).toFixed(1)} ms  ${shown.join(' ')}`
}
