/**
 * From start to exit: boot checks, loops, and a stop that loses nothing. SIGTERM → unready, connections close →
 * serve on while every proxy hears of it → loops stop, leases go back → close → background work → database.
 */
import closeWithGrace from 'close-with-grace'
import { underDeadline } from './context.ts'
import type { Server } from './server.ts'
import { rootSpan } from './telemetry.ts'

/** 25 s: the hard stop, below the pod's grace period of 30 s. */
const HARD_STOP_MS = 25_000

export interface RunOptions {
  readonly HOST: string
  readonly PORT: number
  readonly DRAIN_DELAY_MS: number
}

/** Listens, boots, becomes ready, and stops on SIGTERM or SIGINT. Exits with 1 where booting refuses. */
export async function run(server: Server, options: RunOptions): Promise<void> {
  const stop = stopOnce(server, options.DRAIN_DELAY_MS)
  closeWithGrace({ delay: HARD_STOP_MS, logger: false }, async ({ err }) => {
    if (err !== undefined) server.log.error({ err }, 'stopping after an error')
    await stop()
  })
  try {
    await server.listen({ host: options.HOST, port: options.PORT })
    for (const step of server.chassis.boot) await step()
    await server.chassis.compileSchemas()
  } catch (error) {
    // A stop took the database away from a boot that waited for it.
    if (isStopping(server)) return
    process.stderr.write(`${startError(error, options)}\n`)
    server.log.fatal({ err: error }, 'start refused')
    server.chassis.flushLog()
    process.exit(1)
  }
  if (isStopping(server)) return
  startLoops(server)
  server.chassis.phase = 'ready'
  server.log.info({ address: server.listeningOrigin }, 'ready')
}

/** Starts what `every` registered. `run` calls it; a test may, too. */
export function startLoops(server: Server): void {
  for (const loop of server.chassis.loops) loop.start()
}

function isStopping(server: Server): boolean {
  return server.chassis.phase === 'draining'
}

function startError(error: unknown, { HOST, PORT }: RunOptions): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE')
    return `Port ${PORT} on ${HOST} is taken; stop what listens there or set PORT to another.`
  if (code === 'EACCES') return `Port ${PORT} needs more rights; set PORT to one above 1023.`
  return message
}

/** The orderly stop; a second call waits for the first. */
export function stopOnce(server: Server, drainDelayMs: number): () => Promise<void> {
  let stopping: Promise<void> | undefined
  async function stop(): Promise<void> {
    const { chassis } = server
    const wasReady = chassis.phase === 'ready'
    chassis.phase = 'draining'
    if (wasReady) await new Promise((resolve) => setTimeout(resolve, drainDelayMs))
    await Promise.all(chassis.loops.map((loop) => loop.stop()))
    for (const handBack of chassis.handBack) await handBack().catch(logged(server))
    await server.close()
    while (chassis.background.size > 0) await Promise.allSettled([...chassis.background])
    for (const close of chassis.closers) await close().catch(logged(server))
    await chassis.telemetry.shutdown()
    server.log.info('stopped')
    chassis.flushLog()
  }
  return () => {
    stopping ??= stop()
    return stopping
  }
}

function logged(server: Server): (error: unknown) => void {
  return (error) => server.log.warn({ err: error }, 'a step of the stop failed')
}

export interface LoopOptions {
  readonly name: string
  /** Mean pause between passes; each is drawn from ± 20 %, so that replicas do not march in step. */
  readonly ms: number
  /** One pass may take this long. */
  readonly deadlineMs: number
  /** The most permits one pass takes of the limiter's low-priority share: how many things it may do at once. */
  readonly maxPermits: number
  /** Worked on so many, a pass has probably left some: the next one comes at once. Its permits where absent. */
  readonly batch?: number
}

export interface BackgroundLoop {
  /** One pass at once, beside the loop's own; for operations and tests. */
  runOnce(): Promise<void>
}

/**
 * Repeats `pass` until the server stops. A failure is logged and the next pass comes; without a free permit the pass
 * is left out. `pass` gets its permits and returns how many things it worked on.
 */
export function every(
  server: Server,
  { name, ms, deadlineMs, maxPermits, batch }: LoopOptions,
  pass: (permits: number) => Promise<number>,
): BackgroundLoop {
  let stopped = true
  let current: Promise<void> = Promise.resolve()
  let wake: (() => void) | undefined
  let full = false

  async function runOnce(): Promise<void> {
    const { limiter, passes } = server.chassis
    const permits = limiter.acquireLowPriority(maxPermits)
    if (permits === 0) return
    try {
      const worked = await rootSpan(name, {}, () => underDeadline(deadlineMs, () => pass(permits)))
      passes.inc({ outcome: worked > 0 ? 'worked' : 'idle' })
      full = worked >= (batch ?? permits)
    } catch (error) {
      passes.inc({ outcome: 'failed' })
      server.log.warn({ err: error, loop: name }, 'loop pass failed')
    } finally {
      limiter.releaseLowPriority(permits)
    }
  }

  async function loop(): Promise<void> {
    while (!stopped) {
      await pause()
      if (stopped) return
      full = false
      await runOnce()
    }
  }

  function pause(): Promise<void> {
    if (full) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms * (0.8 + Math.random() * 0.4))
      function done(): void {
        clearTimeout(timer)
        wake = undefined
        resolve()
      }
      wake = done
    })
  }

  server.chassis.loops.push({
    start() {
      if (!stopped) return
      stopped = false
      current = loop()
    },
    async stop() {
      stopped = true
      wake?.()
      await current
    },
  })
  return { runOnce }
}
