/**
 * Admission ahead of routing. At most `limit` requests are in flight; a short queue, newest first, absorbs bursts;
 * whoever waits too long is refused at once. Under overload the newest caller is the one that still listens.
 */

export interface LimiterOptions {
  /** Requests in flight. */
  readonly limit: number
  /** Requests waiting; twice the limit by default. */
  readonly maxQueued?: number
  /** Milliseconds a request may wait: longer, and its caller's own deadline has suffered. */
  readonly maxAgeMs?: number
  /** Monotonic milliseconds. */
  readonly now?: () => number
  /** Calls back after `ms`; returns what cancels it. */
  readonly schedule?: (ms: number, callback: () => void) => () => void
}

export interface Job {
  /** Whose request it is: one tenant must not starve the others. */
  readonly tenant: string
  /** False once the caller's socket is gone: nobody waits for the answer. */
  alive(): boolean
  run(permit: Permit): void
  /** Answers 429: the request was not executed. */
  refuse(): void
}

export interface Permit {
  /** Keeps the permit until the returned function is called; calling it twice does nothing. */
  hold(): () => void
}

export interface Limiter {
  admit(job: Job): void
  /**
   * Permits for sweepers and relays: at most a tenth of the limit, also under full load, when recovery matters most;
   * requests make room. Returns how many were taken, at most `wanted`.
   */
  acquireLowPriority(wanted: number): number
  releaseLowPriority(permits: number): void
  stats(): { readonly inFlight: number; readonly queued: number; readonly rejected: number }
}

interface Waiting {
  readonly job: Job
  readonly since: number
}

function scheduleOnTimer(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, ms)
  timer.unref()
  return () => clearTimeout(timer)
}

export function createLimiter({
  limit,
  maxQueued = 2 * limit,
  maxAgeMs = 150,
  now = () => performance.now(),
  schedule = scheduleOnTimer,
}: LimiterOptions): Limiter {
  /** Oldest first; taken from the end. */
  const queue: Waiting[] = []
  const inFlightByTenant = new Map<string, number>()
  const fairShare = Math.max(1, Math.floor(limit / 4))
  const lowPriorityLimit = Math.max(1, Math.floor(limit / 10))
  let inFlight = 0
  let lowPriority = 0
  let rejected = 0
  let cancelTimer: (() => void) | undefined

  function admit(job: Job): void {
    // Its socket has closed already: nothing would ever give the permit back.
    if (!job.alive()) return
    if (inFlight < limit && queue.length === 0) {
      start(job)
      return
    }
    queue.push({ job, since: now() })
    if (queue.length > maxQueued) dropDead()
    if (queue.length > maxQueued) refuseOldest()
    watchAge()
  }

  function start(job: Job): void {
    inFlight++
    inFlightByTenant.set(job.tenant, (inFlightByTenant.get(job.tenant) ?? 0) + 1)
    let holds = 0
    function hold(): () => void {
      holds++
      let held = true
      return () => {
        if (!held) return
        held = false
        holds--
        if (holds === 0) finish(job.tenant)
      }
    }
    job.run({ hold })
  }

  function finish(tenant: string): void {
    inFlight--
    const left = (inFlightByTenant.get(tenant) ?? 1) - 1
    if (left === 0) inFlightByTenant.delete(tenant)
    else inFlightByTenant.set(tenant, left)
    dispatch()
  }

  function dispatch(): void {
    while (inFlight < limit && queue.length > 0) {
      const next = takeNext()
      if (next !== undefined) start(next.job)
    }
    if (queue.length === 0) stopWatching()
  }

  /** Newest first; a tenant above its share waits while another waits. */
  function takeNext(): Waiting | undefined {
    dropDead()
    for (let i = queue.length - 1; i >= 0; i--) {
      const waiting = queue[i] as Waiting
      if ((inFlightByTenant.get(waiting.job.tenant) ?? 0) < fairShare) {
        queue.splice(i, 1)
        return waiting
      }
    }
    return queue.pop()
  }

  function dropDead(): void {
    for (let i = queue.length - 1; i >= 0; i--) {
      if (!(queue[i] as Waiting).job.alive()) queue.splice(i, 1)
    }
  }

  function refuseOldest(): void {
    const oldest = queue.shift()
    if (oldest === undefined) return
    rejected++
    oldest.job.refuse()
  }

  function watchAge(): void {
    const oldest = queue[0]
    if (oldest === undefined || cancelTimer !== undefined) return
    cancelTimer = schedule(Math.max(1, oldest.since + maxAgeMs - now()), () => {
      cancelTimer = undefined
      const bound = now() - maxAgeMs
      while (queue[0] !== undefined && queue[0].since <= bound) refuseOldest()
      watchAge()
    })
  }

  function stopWatching(): void {
    cancelTimer?.()
    cancelTimer = undefined
  }

  function acquireLowPriority(wanted: number): number {
    const taken = Math.min(wanted, lowPriorityLimit - lowPriority)
    lowPriority += taken
    inFlight += taken
    return taken
  }

  function releaseLowPriority(permits: number): void {
    lowPriority -= permits
    inFlight -= permits
    dispatch()
  }

  return {
    admit,
    acquireLowPriority,
    releaseLowPriority,
    stats: () => ({ inFlight, queued: queue.length, rejected }),
  }
}

export interface Quota {
  /** Takes one token of the tenant's; false where it has none left. */
  take(tenant: string): boolean
}

/** Tenants remembered at once; one that was idle for a second has a full bucket anyway. */
const MAX_TENANTS = 10_000

/** A token bucket per tenant, of this replica: `perSecond` on average and at most that many at once. */
export function createQuota(perSecond: number, now: () => number = () => performance.now()): Quota {
  const buckets = new Map<string, { tokens: number; at: number }>()

  function take(tenant: string): boolean {
    const at = now()
    const bucket = buckets.get(tenant) ?? { tokens: perSecond, at }
    bucket.tokens = Math.min(perSecond, bucket.tokens + ((at - bucket.at) / 1000) * perSecond)
    bucket.at = at
    if (!buckets.has(tenant) && buckets.size >= MAX_TENANTS) forgetIdle(at)
    buckets.set(tenant, bucket)
    if (bucket.tokens < 1) return false
    bucket.tokens--
    return true
  }

  function forgetIdle(at: number): void {
    for (const [tenant, bucket] of buckets) if (at - bucket.at > 1000) buckets.delete(tenant)
  }

  return { take }
}
