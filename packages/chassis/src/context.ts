/**
 * What a request carries down to its adapters: deadline and headers to pass on. Both ride in OpenTelemetry's
 * context, the only AsyncLocalStorage of the process.
 */
import { type Context, context, createContextKey } from '@opentelemetry/api'

const DEADLINE = createContextKey('deadline')
const FORWARDED = createContextKey('forwarded-headers')
const BACKGROUND = createContextKey('background')

/** What the caller needs on the way back, in ms: its remaining time less this is ours. */
export const RETURN_TRIP_MS = 50

/** @param deadlineAt instant on the monotonic clock of `performance.now()`, ms. */
export function withDeadline(parent: Context, deadlineAt: number): Context {
  return parent.setValue(DEADLINE, deadlineAt)
}

/** Milliseconds until the current request must be answered; Infinity where none is known. */
export function remainingMs(): number {
  const deadlineAt = context.active().getValue(DEADLINE) as number | undefined
  return deadlineAt === undefined ? Number.POSITIVE_INFINITY : deadlineAt - performance.now()
}

/** Runs `work` under its own time limit, the request's deadline left aside: for passes that outlive their caller. */
export function underDeadline<T>(ms: number, work: () => T): T {
  return context.with(withDeadline(context.active(), performance.now() + ms), work)
}

export function withForwarded(parent: Context, headers: Readonly<Record<string, string>>): Context {
  return parent.setValue(FORWARDED, headers)
}

export function forwardedHeaders(): Readonly<Record<string, string>> {
  return (context.active().getValue(FORWARDED) as Readonly<Record<string, string>>) ?? {}
}

/** Keeps the request's permit and the process alive until the work ends. */
export type TrackBackground = (work: Promise<unknown>) => void

export function withBackground(parent: Context, track: TrackBackground): Context {
  return parent.setValue(BACKGROUND, track)
}

/**
 * Names work that goes on after the answer. The permit of the request stays taken and the shutdown waits until it
 * settles; it must handle its own errors.
 */
export function inBackground(work: Promise<unknown>): void {
  const track = context.active().getValue(BACKGROUND) as TrackBackground | undefined
  if (track !== undefined) track(work)
}
