/**
 * Tracing by hand: one SERVER span a hop, CLIENT spans where a client is called, no instrumentation packages
 * (docs/decisions/0004-tracing-by-hand.md).
 */
import {
  type Context,
  context,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  CompositePropagator,
  W3CBaggagePropagator,
  W3CTraceContextPropagator,
} from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { ZipkinExporter } from '@opentelemetry/exporter-zipkin'
import { B3InjectEncoding, B3Propagator } from '@opentelemetry/propagator-b3'
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources'
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'

export interface TelemetryOptions {
  readonly serviceName: string
  readonly exporter: 'zipkin' | 'otlp' | 'none'
  /** Collector's URL, path included. */
  readonly url: string
  /** Share of the traces that start here; in a mesh the first proxy decides. */
  readonly ratio: number
}

export interface Telemetry {
  /** Sends what is queued; returns when it was sent or failed. */
  shutdown(): Promise<void>
}

let running: Telemetry | undefined

/** Starts tracing once a process; later calls return the first. */
export function startTelemetry(options: TelemetryOptions): Telemetry {
  running ??= start(options)
  return running
}

/** By hand: NodeSDK brings every exporter of logs and metrics along, a fifth of the program. */
function start({ serviceName, exporter, url, ratio }: TelemetryOptions): Telemetry {
  const spanExporter = exporterFor(exporter, url, serviceName)
  const contextManager = new AsyncLocalStorageContextManager()
  contextManager.enable()
  context.setGlobalContextManager(contextManager)
  // The last one wins on extract, and a sidecar of the Zipkin type rewrites only the B3 headers. Multi headers:
  // a single `b3` header would be preferred by the next hop and hide what its sidecar wrote.
  propagation.setGlobalPropagator(
    new CompositePropagator({
      propagators: [
        new W3CTraceContextPropagator(),
        new W3CBaggagePropagator(),
        new B3Propagator({ injectEncoding: B3InjectEncoding.MULTI_HEADER }),
      ],
    }),
  )
  const provider = new TracerProvider({
    resource: defaultResource().merge(resourceFromAttributes({ 'service.name': serviceName })),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    spanProcessors:
      spanExporter === undefined
        ? []
        : [new BatchSpanProcessor({ exporter: spanExporter, scheduledDelayMillis: 1000 })],
  })
  trace.setGlobalTracerProvider(provider)
  return {
    shutdown: () => provider.shutdown().catch(() => undefined),
  }
}

function exporterFor(
  exporter: TelemetryOptions['exporter'],
  url: string,
  serviceName: string,
): SpanExporter | undefined {
  switch (exporter) {
    case 'zipkin':
      return new ZipkinExporter({ url, serviceName })
    case 'otlp':
      return new OTLPTraceExporter({ url })
    case 'none':
      return undefined
  }
}

const tracer = trace.getTracer('@oms/chassis')

const SERVER_SPAN = { kind: SpanKind.SERVER }

/** The context of an incoming request: its trace, continued, with a SERVER span. */
export function startServerSpan(
  name: string,
  headers: Readonly<Record<string, unknown>>,
  attributes: () => Readonly<Record<string, string>>,
): { readonly span: Span; readonly requestContext: Context } {
  const parent = propagation.extract(context.active(), headers)
  const span = tracer.startSpan(name, SERVER_SPAN, parent)
  if (span.isRecording()) span.setAttributes(attributes())
  return { span, requestContext: trace.setSpan(parent, span) }
}

/**
 * Runs `work` in a CLIENT span; a rejection marks it as failed. In a trace that nobody keeps, `work` gets
 * its caller's span: one of its own would be made for nobody, with every statement and call.
 */
export async function clientSpan<T>(
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  work: (span: Span) => Promise<T>,
): Promise<T> {
  const parent = trace.getActiveSpan()
  if (parent !== undefined && !parent.isRecording()) return work(parent)
  const span = tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes })
  return inSpan(span, () => work(span))
}

/** A trace of its own for a pass that no request started. */
export async function rootSpan<T>(
  name: string,
  attributes: Readonly<Record<string, string>>,
  work: () => Promise<T>,
): Promise<T> {
  const span = tracer.startSpan(name, { kind: SpanKind.INTERNAL, attributes, root: true })
  return inSpan(span, work)
}

/** Ends the span with `work`; a rejection marks it as failed. */
async function inSpan<T>(span: Span, work: () => Promise<T>): Promise<T> {
  try {
    return await context.with(trace.setSpan(context.active(), span), work)
  } catch (error) {
    span.setStatus({ code: SpanStatusCode.ERROR })
    throw error
  } finally {
    span.end()
  }
}

export function activeTraceIds(): { readonly trace_id: string; readonly span_id: string } | object {
  const spanContext = trace.getActiveSpan()?.spanContext()
  return spanContext === undefined
    ? {}
    : { trace_id: spanContext.traceId, span_id: spanContext.spanId }
}

/** Trace headers of the active span, ready to be sent. */
export function traceHeaders(): Record<string, string> {
  const headers: Record<string, string> = {}
  propagation.inject(context.active(), headers)
  return headers
}
