/** The process's own Prometheus registry, and the request histogram with exemplars (OpenMetrics). */
import { isSpanContextValid, type Span, TraceFlags } from '@opentelemetry/api'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

export interface Metrics {
  readonly contentType: string
  counter<T extends string>(name: string, help: string, labels?: readonly T[]): Counter<T>
  /** A gauge read when scraped. */
  gauge(name: string, help: string, read: () => number | Promise<number>): void
  /** A gauge with labels, all of its values set anew when scraped. */
  labelledGauge<T extends string>(
    name: string,
    help: string,
    labels: readonly T[],
    read: (set: (labels: Record<T, string>, value: number) => void) => Promise<void>,
  ): void
  observeRequest(
    labels: { readonly method: string; readonly route: string; readonly status: string },
    seconds: number,
    span: Span | undefined,
  ): void
  /** Called before each scrape: for counts that are kept elsewhere. */
  onScrape(update: () => void): void
  expose(): Promise<string>
}

/** Seconds; the upper ones are the deadlines of the order path. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1, 1.7, 2.5, 5, 10.5]

export function createMetrics(): Metrics {
  const registry = new Registry(Registry.OPENMETRICS_CONTENT_TYPE)
  const registers = [registry] as unknown as Registry[]
  const requests = new Histogram({
    name: 'http_server_request_duration_seconds',
    help: 'Time from the first byte of a request to the end of its answer.',
    labelNames: ['method', 'route', 'status'],
    buckets: BUCKETS,
    enableExemplars: true,
    registers,
  })
  const children = new Map<string, ReturnType<typeof requests.labels>>()

  function observeRequest(
    labels: { readonly method: string; readonly route: string; readonly status: string },
    seconds: number,
    span: Span | undefined,
  ): void {
    const spanContext = span?.spanContext()
    const sampled =
      spanContext !== undefined &&
      isSpanContextValid(spanContext) &&
      (spanContext.traceFlags & TraceFlags.SAMPLED) !== 0
    if (sampled) {
      const { traceId, spanId } = spanContext
      requests.observe({
        labels,
        value: seconds,
        exemplarLabels: { trace_id: traceId, span_id: spanId },
      } as never)
      return
    }
    const key = `${labels.method} ${labels.route} ${labels.status}`
    let child = children.get(key)
    if (child === undefined) {
      child = requests.labels(labels)
      children.set(key, child)
    }
    child.observe(seconds)
  }

  function counter<T extends string>(
    name: string,
    help: string,
    labels: readonly T[] = [],
  ): Counter<T> {
    return new Counter({ name, help, labelNames: [...labels], registers })
  }

  function gauge(name: string, help: string, read: () => number | Promise<number>): void {
    new Gauge({
      name,
      help,
      registers,
      async collect() {
        // A value that cannot be read is left out: the others are needed most when something is down.
        try {
          this.set(await read())
        } catch {
          this.remove()
        }
      },
    })
  }

  function labelledGauge<T extends string>(
    name: string,
    help: string,
    labels: readonly T[],
    read: (set: (labels: Record<T, string>, value: number) => void) => Promise<void>,
  ): void {
    new Gauge({
      name,
      help,
      labelNames: [...labels],
      registers,
      async collect() {
        this.reset()
        try {
          await read((values, value) => this.set(values as never, value))
        } catch {
          this.reset()
        }
      },
    })
  }

  const updates: (() => void)[] = []

  function expose(): Promise<string> {
    for (const update of updates) update()
    return registry.metrics()
  }

  return {
    contentType: registry.contentType,
    counter,
    gauge,
    labelledGauge,
    observeRequest,
    onScrape: (update) => void updates.push(update),
    expose,
  }
}
