/** Waiting for an answer that another request, replica or loop is about to write. */
import { inBackground, remainingMs, underDeadline } from './context.ts'

/** 1.5 s: a caller that repeats itself waits this long for the first try's end, then hears 202. */
const MAX_WAIT_MS = 1500
/** What is left of the deadline for the way back. */
const RETURN_MS = 200

/** How often to look, and for how long at most; milliseconds. */
export interface Pace {
  readonly firstMs: number
  readonly slowestMs: number
  readonly maxMs: number
}

const DUPLICATE_PACE: Pace = { firstMs: 50, slowestMs: 200, maxMs: MAX_WAIT_MS }

/** Work of this process by key, so that a duplicate shares the promise before it asks the database. */
export interface InFlight<T> {
  /** Runs `work` in the background of the request and keeps it findable until it ends. */
  track(key: string, work: Promise<T>): Promise<T>
  get(key: string): Promise<T> | undefined
}

export function createInFlight<T>(): InFlight<T> {
  const running = new Map<string, Promise<T>>()

  function track(key: string, work: Promise<T>): Promise<T> {
    const tracked = work.finally(() => {
      if (running.get(key) === tracked) running.delete(key)
    })
    tracked.catch(() => undefined)
    running.set(key, tracked)
    inBackground(tracked)
    return tracked
  }

  return { track, get: (key) => running.get(key) }
}

function after(ms: number): { readonly elapsed: Promise<undefined>; cancel(): void } {
  let timer: NodeJS.Timeout | undefined
  const elapsed = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms)
  })
  return { elapsed, cancel: () => clearTimeout(timer) }
}

/** The result of `work`, or `undefined` when the request must be answered first; the work goes on. */
export async function withinDeadline<T>(work: Promise<T>, reserveMs = 0): Promise<T | undefined> {
  const left = remainingMs() - reserveMs
  if (left === Number.POSITIVE_INFINITY) return work
  const timer = after(Math.max(0, left))
  try {
    return await Promise.race([work, timer.elapsed])
  } finally {
    timer.cancel()
  }
}

/**
 * Re-reads until `isFinal`, at the pace given, no longer than the deadline less 200 ms allows.
 * Returns the last that was read, final or not.
 */
export async function awaitVerdict<T>(
  current: T,
  isFinal: (value: T) => boolean,
  read: () => Promise<T>,
  inProcess?: Promise<T>,
  { firstMs, slowestMs, maxMs }: Pace = DUPLICATE_PACE,
): Promise<T> {
  const until = performance.now() + Math.min(maxMs, remainingMs() - RETURN_MS)
  let latest = current
  // Raced once: a promise that has settled would end every later pause at once.
  let told = inProcess?.catch(() => undefined)
  for (let pause = firstMs; !isFinal(latest); pause = Math.min(slowestMs, pause * 2)) {
    const left = until - performance.now()
    // Timers count whole milliseconds: the last one would be set, and its read made, several times over.
    if (left < 1) return latest
    const timer = after(Math.min(pause, left))
    const first = await Promise.race([
      timer.elapsed,
      ...(told === undefined ? [] : [told.then((value) => ({ value }))]),
    ])
    timer.cancel()
    if (first !== undefined) {
      told = undefined
      if (first.value !== undefined && isFinal(first.value)) return first.value
    }
    latest = await read()
  }
  return latest
}

/** Waiting by key: duplicates in this process share one piece of work. */
export interface Patience {
  /** Starts `work` in the background of the request; its result, or `undefined` when the answer is due first. */
  within<T>(key: string, work: () => Promise<T>): Promise<T | undefined>
  /** `awaitVerdict`, woken early by work under the same key. */
  until<T>(key: string, current: T, done: (value: T) => boolean, read: () => Promise<T>): Promise<T>
}

/** @param workMs what work may take: it outlives its caller, so the caller's deadline is not its own. */
export function createPatience({ workMs }: { readonly workMs: number }): Patience {
  const inFlight = createInFlight<unknown>()
  return {
    within: <T>(key: string, work: () => Promise<T>) =>
      withinDeadline(inFlight.track(key, underDeadline(workMs, work)) as Promise<T>),
    until: <T>(key: string, current: T, done: (value: T) => boolean, read: () => Promise<T>) =>
      awaitVerdict(current, done, read, inFlight.get(key) as Promise<T> | undefined),
  }
}
