/**
 * What a request carries down to its adapters: deadline and headers to pass on. Both ride in OpenTelemetry's
 * context, the only AsyncLocalStorage of the process.
 */
import { type Context, context, createContextKey } from '@opentelemetry/api'

/** Keeps the request's permit and the process alive until the work ends. */
export type TrackBackground = (work: Promise<unknown>) => void

export interface Carried {
  /** Instant on the monotonic clock of `performance.now()`, ms. */
  readonly deadlineAt?: number
  readonly forwarded?: Readonly<Record<string, string>>
  readonly track?: TrackBackground
}

/** One key for all of it: every value that a context takes copies the others. */
const CARRIED = createContextKey('carried')
const NOTHING: Carried = {}

/** What the caller needs on the way back, in ms: its remaining time less this is ours. */
export const RETURN_TRIP_MS = 50

export function withCarried(parent: Context, carried: Carried): Context {
  return parent.setValue(CARRIED, carried)
}

function carried(): Carried {
  return (context.active().getValue(CARRIED) as Carried | undefined) ?? NOTHING
}

/** Milliseconds until the current request must be answered; Infinity where none is known. */
export function remainingMs(): number {
  const { deadlineAt } = carried()
  return deadlineAt === undefined ? Number.POSITIVE_INFINITY : deadlineAt - performance.now()
}

/** Runs `work` under its own time limit, the request's deadline left aside: for passes that outlive their caller. */
export function underDeadline<T>(ms: number, work: () => T): T {
  const deadlineAt = performance.now() + ms
  return context.with(withCarried(context.active(), { ...carried(), deadlineAt }), work)
}

export function forwardedHeaders(): Readonly<Record<string, string>> {
  return carried().forwarded ?? {}
}

/**
 * Names work that goes on after the answer. The permit of the request stays taken and the shutdown waits until it
 * settles; it must handle its own errors.
 */
export function inBackground(work: Promise<unknown>): void {
  carried().track?.(work)
}
