/** The performance contract is counted, not timed: round trips, commits, WAL (docs/resilience.md). */
import { randomUUID } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig } from '@oms/chassis/config'
import {
  type EmbeddedPostgres,
  freePort,
  startEmbeddedPostgres,
} from '@oms/chassis/embedded-postgres'
import { stopOnce } from '@oms/chassis/lifecycle'
import { migrate } from '@oms/chassis/postgres'
import { provisionDatabase } from '@oms/chassis/provision'
import type { Server } from '@oms/chassis/server'
import { eventually, TEST_PASSWORD } from '@oms/chassis/testing'
import { migrations as inventoryMigrations } from '@oms/inventory/migrations/migrations.ts'
import { buildApp as buildInventory } from '@oms/inventory/src/app.ts'
import { configSchema as inventoryConfig } from '@oms/inventory/src/config.ts'
import { migrations as orderMigrations } from '@oms/order/migrations/migrations.ts'
import { buildApp as buildOrder, type OrderApp } from '@oms/order/src/app.ts'
import { configSchema as orderConfig } from '@oms/order/src/config.ts'
import { migrations as paymentMigrations } from '@oms/payment/migrations/migrations.ts'
import { buildApp as buildPayment } from '@oms/payment/src/app.ts'
import { configSchema as paymentConfig } from '@oms/payment/src/config.ts'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createClient, DEMO_LINES } from './client.ts'
import { createProgram, type Program } from './program.ts'
import { bundleOf } from './system.ts'

const WARM_UP = 100
const ORDERS = 300
/** Statistics reach the views late. Milliseconds. */
const STATISTICS_AFTER_MS = 700
const DATABASES = ['oms_order', 'oms_payment', 'oms_inventory'] as const

let folder: string
let postgres: EmbeddedPostgres
let admin: pg.Client
let processor: Program
let processorUrl: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'oms-contract-'))
  chmodSync(folder, 0o755)
  // A cluster of its own: WAL is counted for all of it.
  postgres = await startEmbeddedPostgres({
    dataDir: join(folder, 'data'),
    port: await freePort(),
    superuserPassword: TEST_PASSWORD,
    settings: ['autovacuum=off', 'checkpoint_timeout=1h', 'max_wal_size=4GB'],
  })
  writeFileSync(join(folder, 'password'), TEST_PASSWORD)
  const migrationsOf = {
    oms_order: orderMigrations,
    oms_payment: paymentMigrations,
    oms_inventory: inventoryMigrations,
  }
  for (const database of DATABASES) {
    await provisionDatabase(postgres.url, {
      database,
      servicePassword: TEST_PASSWORD,
      ownerPassword: TEST_PASSWORD,
      statementTimeoutMs: 1500,
    })
    const owner = { ...databaseConfig(database, `${database}_owner`), POOL_SIZE: 1 }
    await migrate(owner, migrationsOf[database], () => undefined)
  }
  admin = new pg.Client(postgres.url('postgres'))
  await admin.connect()
  const port = await freePort()
  processorUrl = `http://127.0.0.1:${port}`
  processor = createProgram({
    name: 'card-processor',
    bundle: bundleOf('processor'),
    env: { PORT: String(port), DATA_DIR: join(folder, 'processor') },
    readyUrl: `${processorUrl}/health`,
    stateDir: folder,
  })
  await processor.start()
})

afterAll(async () => {
  await processor.stop()
  await admin.end()
  await postgres.stop()
  rmSync(folder, { recursive: true })
})

function databaseConfig(database: string, user: string) {
  return {
    DATABASE_URL: `postgres://${user}@127.0.0.1:${postgres.port}/${database}`,
    DATABASE_PASSWORD_FILE: join(folder, 'password'),
  }
}

/** The three applications in this process, their loops not started. */
async function startApps(pspMode: string) {
  const common = (database: string) => ({
    ...databaseConfig(database, database),
    DEPLOYMENT: 'local',
    LOG_LEVEL: 'silent',
    PORT: '0',
  })
  const listen = async (server: Server): Promise<string> => {
    for (const step of server.chassis.boot) await step()
    return server.listen({ host: '127.0.0.1', port: 0 })
  }
  const payment = buildPayment(
    parseConfig(paymentConfig, {
      ...common('oms_payment'),
      PSP_MODE: pspMode,
      PSP_URL: processorUrl,
    }),
  )
  const inventory = buildInventory(parseConfig(inventoryConfig, common('oms_inventory')))
  const order = buildOrder(
    parseConfig(orderConfig, {
      ...common('oms_order'),
      PAYMENT_SERVICE_URL: await listen(payment.server),
      INVENTORY_SERVICE_URL: await listen(inventory.server),
      TENANT_ORDERS_PER_SECOND: '100000',
    }),
  )
  const url = await listen(order.server)
  const stop = () =>
    Promise.all([order, payment, inventory].map(({ server }) => stopOnce(server, 0)()))
  return { order, client: createClient(url), stop }
}

async function setCatalogue(order: OrderApp): Promise<void> {
  for (const { sku } of DEMO_LINES)
    await order.orders.setPrice({ tenantId: 'acme', sku, currency: 'EUR', unitPriceMinor: 1250 })
  const inventory = new pg.Client(postgres.url('oms_inventory'))
  await inventory.connect()
  await inventory.query(
    `INSERT INTO oms.stock (tenant_id, sku, supplied, available) SELECT 'acme', sku, 100000, 100000 FROM unnest($1::text[]) sku
     ON CONFLICT DO NOTHING`,
    [DEMO_LINES.map(({ sku }) => sku)],
  )
  await inventory.end()
}

interface Counts {
  readonly roundTrips: number
  readonly commits: number
  readonly walBytes: number
  readonly walSyncs: number
}

/** Syncs of the connections' own: what the WAL writer flushes besides comes with the time that passes, not with orders. */
async function counters(): Promise<Omit<Counts, 'roundTrips'>> {
  const { rows } = await admin.query(
    `SELECT (SELECT sum(xact_commit)::float8 FROM pg_stat_database WHERE datname = ANY($1)) AS commits,
            (SELECT wal_bytes::float8 FROM pg_stat_wal) AS wal,
            (SELECT sum(fsyncs)::float8 FROM pg_stat_io WHERE object = 'wal' AND backend_type = 'client backend') AS syncs`,
    [DATABASES],
  )
  return { commits: rows[0].commits, walBytes: rows[0].wal, walSyncs: rows[0].syncs }
}

/**
 * What `work`, done `times` times by one caller, costs each time. Connections report what they did when they are
 * closed: the warm-up has its own, and what opening and booting cost is taken off.
 */
async function costOf(
  pspMode: string,
  times: number,
  work: (place: (key: string) => Promise<number>) => Promise<void>,
  warmUpKeys: readonly string[] = Array.from({ length: WARM_UP }, () => randomUUID()),
): Promise<Counts> {
  const warm = await startApps(pspMode)
  await setCatalogue(warm.order)
  for (const key of warmUpKeys) expect((await warm.client.place({ key })).status).toBe(201)
  await warm.stop()
  await settleStatistics()

  const before = await counters()
  const counted = countClients()
  const apps = await startApps(pspMode)
  const atBoot = counted.queries
  for (let i = 0; i < times; i++)
    await work(async (key) => (await apps.client.place({ key })).status)
  const roundTrips = counted.queries - atBoot
  const { rows } = await admin.query(
    "SELECT count(*)::integer AS n FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'",
  )
  expect(rows[0].n).toBe(0)
  await apps.stop()
  counted.restore()
  await settleStatistics()
  const after = await counters()
  const cost = {
    roundTrips: roundTrips / times,
    // A connection's own start counts as one.
    commits: (after.commits - before.commits - atBoot - counted.connections) / times,
    walBytes: (after.walBytes - before.walBytes) / times,
    walSyncs: (after.walSyncs - before.walSyncs) / times,
  }
  console.info(`${pspMode}, n = ${times}: ${JSON.stringify(cost)}`)
  return cost
}

/** Counts the queries and connections of every client but `admin`. */
function countClients() {
  const { connect, query } = pg.Client.prototype
  const counted = {
    queries: 0,
    connections: 0,
    restore: () => void Object.assign(pg.Client.prototype, { connect, query }),
  }
  const call = (method: unknown, self: pg.Client, args: readonly unknown[]): unknown =>
    (method as (...given: unknown[]) => unknown).apply(self, [...args])
  Object.assign(pg.Client.prototype, {
    connect(this: pg.Client, ...args: readonly unknown[]) {
      counted.connections++
      return call(connect, this, args)
    },
    query(this: pg.Client, ...args: readonly unknown[]) {
      if (this !== admin) counted.queries++
      return call(query, this, args)
    },
  })
  return counted
}

/** Until two looks, further apart than statistics are late, show the same commits. */
async function settleStatistics(): Promise<void> {
  let last = (await counters()).commits
  await eventually('the statistics rest', async () => {
    await new Promise((resolve) => setTimeout(resolve, STATISTICS_AFTER_MS))
    const now = (await counters()).commits
    const rests = now === last
    last = now
    return rests
  })
}

describe('an order costs', () => {
  test.each([
    ['simulated', 4, 3200],
    ['http', 5, 3700],
  ])(
    'with the %s processor %i round trips, commits and WAL syncs, and at most %i bytes of WAL',
    async (mode, trips, walBytes) => {
      const cost = await costOf(mode, ORDERS, async (place) => {
        expect(await place(randomUUID())).toBe(201)
      })
      expect(cost.roundTrips).toBe(trips)
      expect(Math.abs(cost.commits - trips)).toBeLessThanOrEqual(0.02)
      expect(Math.abs(cost.walSyncs - trips)).toBeLessThanOrEqual(0.02)
      expect(cost.walBytes).toBeLessThanOrEqual(walBytes)
    },
  )

  test('when its end is replayed 1 round trip and no WAL', async () => {
    const key = randomUUID()
    const replay = async (place: (key: string) => Promise<number>) => {
      expect(await place(key)).toBe(201)
    }
    // The order is placed before: what one order costs is chance, an index may have to split a page for it.
    const cost = await costOf('simulated', 100, replay, [key])
    expect(cost.roundTrips).toBe(1)
    expect(cost.walSyncs).toBe(0)
    // None of ours. The server notes its running transactions, 106 bytes, once or twice after the order.
    expect(cost.walBytes * 100).toBeLessThanOrEqual(300)
  })
})
