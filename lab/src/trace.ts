/** A trace as Jaeger keeps it, and as a tree on the terminal. */
import { setTimeout as pause } from 'node:timers/promises'
import { type Lab, urlOf } from './lab.ts'

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

/** One line a span, children below their parents, in order of their start. */
export function drawTree(spans: readonly Span[]): string {
  const ids = new Set(spans.map(({ id }) => id))
  const children = (of: string | undefined): readonly Span[] =>
    spans
      .filter(({ parentId }) =>
        of === undefined ? parentId === undefined || !ids.has(parentId) : parentId === of,
      )
      .sort((a, b) => a.startMicros - b.startMicros)
  const draw = (span: Span, indent: string): readonly string[] => [
    `${indent}${describe(span)}`,
    ...children(span.id).flatMap((child) => draw(child, `${indent}  `)),
  ]
  return children(undefined)
    .flatMap((root) => draw(root, ''))
    .join('\n')
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
