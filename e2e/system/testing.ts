/** A system of its own for a test: fresh databases, free ports, gone afterwards. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TEST_PASSWORD } from '@oms/chassis/testing'
import pg from 'pg'
import { inject } from 'vitest'
import { type Client, createClient, recordingFlags } from './client.ts'
import {
  createSystem,
  freePorts,
  type ProgramName,
  SERVICES,
  type Service,
  type System,
  type SystemOptions,
} from './system.ts'

export interface TestSystem {
  readonly system: System
  readonly client: Client
  /** A client of another replica; what it is told is audited, too. */
  clientOf(url: string): Client
  /**
   * Waits until nothing is under way and checks I1–I12. Without faults events are announced within 2 s; a publisher
   * that died costs its claim of 5 s and more. @throws with the table where a promise is broken.
   */
  requireGreenAudit(announceLimitSeconds?: number): Promise<void>
  /** Rows of a service's database, as superuser. */
  query<Row extends object>(
    service: Service,
    sql: string,
    values?: readonly unknown[],
  ): Promise<Row[]>
  /** What a program has logged so far. */
  logLines(name: ProgramName): readonly Readonly<Record<string, unknown>>[]
  close(): Promise<void>
}

export async function startTestSystem(env: SystemOptions['env'] = {}): Promise<TestSystem> {
  const base = inject('postgresUrl')
  const suffix = randomBytes(5).toString('hex')
  const databaseOf = (service: Service): string => `oms_${service}_${suffix}`
  const stateDir = mkdtempSync(join(tmpdir(), 'oms-system-'))
  const system = createSystem({
    superuserUrl: (database) => `${base}/${database}`,
    databaseOf,
    ports: await freePorts(),
    stateDir,
    password: TEST_PASSWORD,
    env,
  })
  await system.prepare()
  await system.start()

  const clientOf = (url: string): Client => createClient(url, stateDir)

  async function requireGreenAudit(announceLimitSeconds = 2): Promise<void> {
    const limit = ['--announce-limit', String(announceLimitSeconds)]
    const flags = ['--settle-timeout', '40', ...limit, ...recordingFlags(stateDir)]
    const { code, output } = await system.audit(...flags)
    if (code !== 0) throw new Error(`the audit is not green\n${output}`)
  }

  async function query<Row extends object>(
    service: Service,
    sql: string,
    values: readonly unknown[] = [],
  ): Promise<Row[]> {
    const client = new pg.Client(`${base}/${databaseOf(service)}`)
    await client.connect()
    try {
      return (await client.query<Row>(sql, [...values])).rows
    } finally {
      await client.end()
    }
  }

  function logLines(name: ProgramName): readonly Readonly<Record<string, unknown>>[] {
    const lines = readFileSync(system.programs[name].logFile, 'utf8').split('\n')
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line))
  }

  async function close(): Promise<void> {
    await system.stop()
    const admin = new pg.Client(`${base}/postgres`)
    await admin.connect()
    for (const service of SERVICES)
      await admin.query(`DROP DATABASE ${databaseOf(service)} WITH (FORCE)`)
    await admin.end()
    rmSync(stateDir, { recursive: true })
  }

  return {
    system,
    client: clientOf(system.urls.order),
    clientOf,
    requireGreenAudit,
    query,
    logLines,
    close,
  }
}

/** Runs `work` for each of `items`, at most `width` at once, in order of their start. */
export async function eachAtMost<T>(
  width: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values()
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (const item of queue) await work(item)
    }),
  )
}
