/** The embedded PostgreSQL that everything runs on, and the real system on it: three bundles and the processor. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type EmbeddedPostgres,
  freePort,
  startEmbeddedPostgres,
} from '@oms/chassis/embedded-postgres'
import { createSystem, freePorts, type Service, type System } from '@oms/e2e/system'
import pg from 'pg'
import { atEnd } from './clean-up.ts'
import { SKUS, TENANT, UNIT_PRICE_MINOR } from './load.ts'

export const PASSWORD = 'bench'
/** More than any run sells. */
const SUPPLIED = 1_000_000_000

export type PspMode = 'simulated' | 'http'

export interface World {
  readonly postgres: EmbeddedPostgres
  readonly folder: string
  /** URL of one of our databases as the service's own role. */
  databaseUrl(service: Service): string
  /** The system with this processor; not started. Its databases are migrated and hold the catalogue. */
  system(mode: PspMode): Promise<System>
  /** Rows of a database, as superuser. */
  query<Row extends object>(database: string, sql: string): Promise<Row[]>
}

/** fsync and every other setting as PostgreSQL ships them. */
export async function startWorld(): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'oms-bench-'))
  atEnd(() => rmSync(folder, { recursive: true, force: true }))
  // As root the server runs as user postgres, who must get through.
  chmodSync(folder, 0o755)
  const postgres = await startEmbeddedPostgres({
    dataDir: join(folder, 'postgres'),
    port: await freePort(),
    superuserPassword: PASSWORD,
    settings: ['max_connections=200'],
  })
  atEnd(() => postgres.stop())
  const ports = await freePorts()

  async function system(mode: PspMode): Promise<System> {
    const stateDir = join(folder, mode)
    mkdirSync(stateDir, { recursive: true })
    const made = createSystem({
      superuserUrl: postgres.url,
      ports,
      stateDir,
      password: PASSWORD,
      // One tenant places more than its quota lets it.
      env: { payment: { PSP_MODE: mode }, order: { TENANT_ORDERS_PER_SECOND: '1000000' } },
      history: false,
    })
    atEnd(() => made.stop())
    await made.prepare()
    await made.operate('order', 'prices', recordsFile(stateDir, 'prices', PRICES))
    await made.operate('inventory', 'stock', recordsFile(stateDir, 'stock', STOCK))
    return made
  }

  async function query<Row extends object>(database: string, sql: string): Promise<Row[]> {
    const client = new pg.Client(postgres.url(database))
    await client.connect()
    try {
      return (await client.query<Row>(sql)).rows
    } finally {
      await client.end()
    }
  }

  function databaseUrl(service: Service): string {
    const url = new URL(postgres.url(`oms_${service}`))
    url.username = `oms_${service}`
    return url.href
  }

  return { postgres, folder, databaseUrl, system, query }
}

const PRICES = SKUS.map((sku) => ({
  tenant_id: TENANT,
  sku,
  currency: 'EUR',
  unit_price_minor: UNIT_PRICE_MINOR,
}))

const STOCK = SKUS.map((sku) => ({ tenant_id: TENANT, sku, supplied: SUPPLIED }))

function recordsFile(folder: string, name: string, records: readonly object[]): string {
  const path = join(folder, `${name}.json`)
  writeFileSync(path, JSON.stringify(records))
  return path
}
