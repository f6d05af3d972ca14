/** Traces as Jaeger keeps them, read from outside of the mesh as a person would. */
import { orphans, type Span, spansIn } from '@oms/lab/trace'
import { until } from './api.ts'
import type { TraceHead } from './ingress.ts'
import type { Mesh } from './mesh.ts'
import { EXTERNAL, JAEGER } from './names.ts'

export type { Span } from '@oms/lab/trace'

/** 20 s: proxies send every 5, applications every second. */
const WHOLE_WITHIN_MS = 20_000
const TEXT_LIMIT_BYTES = 1_000_000

async function read(mesh: Mesh, traceId: string): Promise<readonly Span[]> {
  const outside = await mesh.probe({ namespace: EXTERNAL, injected: false })
  const { status, text } = await outside.call({
    url: `http://jaeger-query.${JAEGER}.svc.cluster.local:16686/api/traces/${traceId}`,
    textLimit: TEXT_LIMIT_BYTES,
  })
  return status === 200 ? spansIn(JSON.parse(text)) : []
}

/** `count` spans, or those that are there after 20 s. */
export async function untilSpans(
  mesh: Mesh,
  { traceId }: TraceHead,
  count: number,
): Promise<readonly Span[]> {
  let spans: readonly Span[] = []
  await until('a whole trace', WHOLE_WITHIN_MS, async () => {
    spans = await read(mesh, traceId)
    return spans.length >= count ? true : undefined
  }).catch(() => undefined)
  return spans
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

/** Whose parent never came, though the caller's own span is no part of the trace. */
export function lostOf(spans: readonly Span[], { spanId }: TraceHead): readonly string[] {
  return orphans(spans)
    .filter(({ parentId }) => parentId !== spanId)
    .map(({ service, operation }) => `${service} ${operation}`)
}
