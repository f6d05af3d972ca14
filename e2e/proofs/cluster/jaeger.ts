/** Traces as Jaeger keeps them, read from outside of the mesh as a person would. */
import { orphans, type Span, spansIn, type TraceHead } from '@oms/lab/trace'
import { type KubernetesObject, untilEnough } from './api.ts'
import type { Mesh } from './mesh.ts'
import { EXTERNAL, JAEGER } from './names.ts'

export type { Span } from '@oms/lab/trace'

/** A proxy sends its spans every 5 s, or five of them: these send each at once, until the run's end. */
export async function sendAtOnce(mesh: Mesh, pods: readonly KubernetesObject[]): Promise<void> {
  const changes = mesh.changesOf('spans sent at once')
  await Promise.all(pods.map((pod) => changes.flag(pod, { 'tracing.zipkin.min_flush_spans': '1' })))
}

/** 12 s: proxies send every 5 what they had before they were told to send at once, applications every second. */
const WHOLE_WITHIN_MS = 12_000
const TEXT_LIMIT_BYTES = 1_000_000

async function read(mesh: Mesh, traceId: string): Promise<readonly Span[]> {
  const outside = await mesh.probe({ namespace: EXTERNAL, injected: false })
  const { status, text } = await outside.call({
    url: `http://jaeger-query.${JAEGER}.svc.cluster.local:16686/api/traces/${traceId}`,
    textLimit: TEXT_LIMIT_BYTES,
  })
  return status === 200 ? spansIn(JSON.parse(text)) : []
}

/** `count` spans, or those that are there after 12 s. */
export function untilSpans(
  mesh: Mesh,
  { traceId }: TraceHead,
  count: number,
): Promise<readonly Span[]> {
  return untilEnough(
    WHOLE_WITHIN_MS,
    () => read(mesh, traceId),
    (spans) => spans.length >= count,
  )
}

/** Whose parent never came, though the caller's own span is no part of the trace. */
export function lostOf(spans: readonly Span[], { spanId }: TraceHead): readonly string[] {
  return orphans(spans)
    .filter(({ parentId }) => parentId !== spanId)
    .map(({ service, operation }) => `${service} ${operation}`)
}
