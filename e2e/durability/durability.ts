/**
 * V12: PostgreSQL is killed again and again under writers, and everything that was acknowledged must be there. The
 * services are the real ones, as processes; they find their way back by themselves.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type EmbeddedPostgres,
  freePort,
  startEmbeddedPostgres,
} from '@oms/chassis/embedded-postgres'
import pg from 'pg'
import { createRandom } from '../random.ts'
import { createClient, recordingFlags } from '../system/client.ts'
import { createSystem, freePorts, type System } from '../system/system.ts'
import { broken } from './acknowledged.ts'
import { killPostgres } from './kill-postgres.ts'
import { startWriters } from './writers.ts'

const PASSWORD = 'test'
const WRITERS = 16
/** A kill comes so many ms after its order was acknowledged, at most: it hits any step of the next ones. */
const KILL_WITHIN_MS = 30
/** A publisher that died costs its claim of 5 s and more; and nothing is announced while PostgreSQL is down. */
const ANNOUNCE_LIMIT_SECONDS = 15
/** Lease 12 s, sweep, backoff of 15 s and some more; the audit's own bar is I4. */
const SETTLE_SECONDS = 60

export interface DurabilityOptions {
  /** Orders to be acknowledged. */
  readonly orders: number
  readonly kills: number
  readonly seed: number
  /** The writers end by then. Milliseconds. */
  readonly withinMs: number
  /** Leases of orders that a kill left are ended at once: they save work, and waiting for them costs 12 s. */
  readonly endLeases?: boolean
  readonly tell?: (line: string) => void
}

export interface DurabilityResult {
  readonly acknowledged: number
  readonly kills: number
  /** Tries that got no answer, or one that acknowledges nothing. */
  readonly unanswered: number
  /** Processes that were ended, postmasters and backends. */
  readonly killed: number
  /** From each kill to the end of its crash recovery, together. */
  readonly downMs: number
  /** One sentence each. */
  readonly broken: readonly string[]
  /** The audit's table, where a promise is broken. */
  readonly audit: string | undefined
}

export interface Durability {
  run(): Promise<DurabilityResult>
  /** Ends every process and removes every file; may come at any time. */
  close(): Promise<void>
}

export function createDurability(options: DurabilityOptions): Durability {
  const { orders, kills, seed, withinMs, endLeases = false, tell = () => undefined } = options
  const folder = mkdtempSync(join(tmpdir(), 'oms-durability-'))
  // As root PostgreSQL runs as user postgres, who must get through.
  chmodSync(folder, 0o755)
  const dataDir = join(folder, 'postgres')
  let postgres: Promise<EmbeddedPostgres> | undefined
  let system: Promise<System> | undefined
  let closing = false

  /** @throws where the run is being closed: nothing is started any more. */
  function refuseClosing(): void {
    if (closing) throw new Error('The run was stopped.')
  }

  function startPostgres(port: number): Promise<EmbeddedPostgres> {
    refuseClosing()
    postgres = startEmbeddedPostgres({ dataDir, port, superuserPassword: PASSWORD })
    return postgres
  }

  function startSystem(server: EmbeddedPostgres): Promise<System> {
    system = prepareSystem(server)
    return system
  }

  async function prepareSystem({ url }: EmbeddedPostgres): Promise<System> {
    const quiet = { LOG_LEVEL: 'error' }
    const started = createSystem({
      superuserUrl: url,
      ports: await freePorts(),
      stateDir: folder,
      password: PASSWORD,
      env: {
        order: { ...quiet, TENANT_ORDERS_PER_SECOND: '100000' },
        payment: quiet,
        inventory: quiet,
      },
    })
    await started.prepare()
    refuseClosing()
    try {
      await started.start()
    } catch (error) {
      await started.stop()
      throw error
    }
    return started
  }

  async function killAndRestart(port: number): Promise<number> {
    const killed = await killPostgres(dataDir)
    await startPostgres(port)
    return killed
  }

  async function run(): Promise<DurabilityResult> {
    const port = await freePort()
    const { urls, audit } = await startSystem(await startPostgres(port))
    const client = createClient(urls.order, folder)
    const writers = startWriters({ client, writers: WRITERS, orders, seed })
    const { acknowledged } = writers
    const tooLong = setTimeout(writers.stop, withinMs)
    let killed = 0
    let downMs = 0
    let done = 0
    try {
      for (const { after, delayMs } of momentsOf(options)) {
        await writers.reached(after)
        await new Promise((resolve) => setTimeout(resolve, delayMs))
        const diedMs = performance.now()
        killed += await killAndRestart(port)
        downMs += performance.now() - diedMs
        tell(`kill ${++done} of ${kills}: ${acknowledged.size} acknowledged`)
      }
      await writers.done
    } finally {
      clearTimeout(tooLong)
      writers.stop()
    }
    tell(`${acknowledged.size} acknowledged; the last ones end, then the audit`)
    if (endLeases) await endEveryLease()
    const limit = ['--announce-limit', String(ANNOUNCE_LIMIT_SECONDS + downMs / 1000)]
    const flags = ['--settle-timeout', String(SETTLE_SECONDS), ...limit, ...recordingFlags(folder)]
    const { code, output } = await audit(...flags)
    return {
      acknowledged: acknowledged.size,
      kills: done,
      unanswered: writers.unanswered(),
      killed,
      downMs,
      broken: await broken(acknowledged, client),
      audit: code === 0 ? undefined : output,
    }
  }

  async function endEveryLease(): Promise<void> {
    const admin = new pg.Client((await postgres)?.url('oms_order'))
    await admin.connect()
    await admin.query('UPDATE oms.orders SET next_run_at = now() WHERE state < 100')
    await admin.end()
  }

  async function close(): Promise<void> {
    closing = true
    // What is being started has the right to end it: half a start leaves something behind.
    const started = await system?.catch(() => undefined)
    await started?.stop()
    const server = await postgres?.catch(() => undefined)
    await server?.stop()
    rmSync(folder, { recursive: true, force: true })
  }

  return { run, close }
}

/** Each kill: after how many acknowledgements, and how long after that; none in the last tenth, so that some follow. */
function momentsOf({ orders, kills, seed }: DurabilityOptions) {
  const random = createRandom(seed)
  return Array.from({ length: kills }, () => ({
    after: Math.floor(orders * 0.9 * random.next()),
    delayMs: random.below(KILL_WITHIN_MS),
  })).sort((a, b) => a.after - b.after)
}
