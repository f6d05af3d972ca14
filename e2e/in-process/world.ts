/**
 * The three services and the card processor in this process, on databases of their own, with weather between them.
 * Their loops do not run and no lease ends by itself: time passes where the caller says so.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { audit, type Row } from '@oms/audit/audit'
import { installHistory } from '@oms/audit/history'
import { parseConfig } from '@oms/chassis/config'
import { stopOnce } from '@oms/chassis/lifecycle'
import { openPool } from '@oms/chassis/pool'
import { migrate } from '@oms/chassis/postgres'
import { provisionDatabase } from '@oms/chassis/provision'
import { migrations as inventoryMigrations } from '@oms/inventory/migrations/migrations.ts'
import { buildApp as buildInventory, type InventoryApp } from '@oms/inventory/src/app.ts'
import { configSchema as inventoryConfig } from '@oms/inventory/src/config.ts'
import { migrations as orderMigrations } from '@oms/order/migrations/migrations.ts'
import { buildApp as buildOrder, type OrderApp } from '@oms/order/src/app.ts'
import { configSchema as orderConfig } from '@oms/order/src/config.ts'
import { migrations as paymentMigrations } from '@oms/payment/migrations/migrations.ts'
import { buildApp as buildPayment, type PaymentApp } from '@oms/payment/src/app.ts'
import { configSchema as paymentConfig } from '@oms/payment/src/config.ts'
import { STATEMENT_TIMEOUT_MS } from '@oms/provision/databases'
import { buildProcessor } from 'card-processor/src/app.ts'
import pg from 'pg'
import { type Client, createClient } from '../system/client.ts'
import { freePorts, SERVICES, type Service } from '../system/system.ts'
import { createLink, type Link } from './link.ts'

const MIGRATIONS = {
  order: orderMigrations,
  payment: paymentMigrations,
  inventory: inventoryMigrations,
}

/** 20 s in these databases: what a step leads to must not depend on how fast the machine is. */
const PATIENT_TIMEOUT = '20s'
/** Of a service; the caller does one thing at a time. */
const POOL_SIZE = 4
/** An hour: the relay runs when it is told to. */
const ANNOUNCE_LIMIT_MS = 3_600_000

export interface World {
  readonly order: OrderApp
  readonly payment: PaymentApp
  readonly inventory: InventoryApp
  readonly urls: Readonly<Record<Service | 'processor', string>>
  /** Between the services; the client and the card processor have none. */
  readonly links: Readonly<Record<Service, Link>>
  /** Of order-service; what it is told is audited. */
  readonly client: Client
  restart(service: Service): Promise<void>
  /** As SIGKILL ends it: connections are cut, nothing is finished or handed back. What waits in it must never go on. */
  kill(service: Service): void
  /** Starts a service that was killed. */
  revive(service: Service): Promise<void>
  /** Rows of a service's database, as superuser. */
  query<R extends object>(service: Service, sql: string, values?: readonly unknown[]): Promise<R[]>
  /** I1–I12, as when nothing is under way. */
  audit(): Promise<readonly Row[]>
  close(): Promise<void>
}

export interface WorldOptions {
  /** URL of a database as superuser. */
  readonly superuserUrl: (database: string) => string
  /** Of the services' roles, which belong to the server: whoever else uses it must know the same. */
  readonly password: string
  /** Of the services, over the ones made here. */
  readonly env?: Readonly<Record<string, string>>
}

interface Running<App> {
  readonly app: App
  stop(): Promise<void>
}

export async function createWorld({
  superuserUrl,
  password,
  env = {},
}: WorldOptions): Promise<World> {
  const suffix = randomBytes(5).toString('hex')
  const folder = mkdtempSync(join(tmpdir(), 'oms-world-'))
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, password, { mode: 0o600 })
  const recordings = {
    acksFile: join(folder, 'acks.jsonl'),
    answersFile: join(folder, 'answers.jsonl'),
  }
  // An audit may come before the first order.
  for (const file of Object.values(recordings)) writeFileSync(file, '')
  const databaseOf = (service: Service): string => `oms_${service}_${suffix}`

  function configOf(service: Service, role: string): Record<string, string> {
    const url = new URL(superuserUrl(databaseOf(service)))
    url.username = role
    url.password = ''
    return { DATABASE_URL: url.href, DATABASE_PASSWORD_FILE: passwordFile }
  }

  async function prepare(service: Service): Promise<pg.Pool> {
    const role = `oms_${service}`
    await provisionDatabase(superuserUrl, {
      role,
      database: databaseOf(service),
      servicePassword: password,
      ownerPassword: password,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS[service],
    })
    const owner = configOf(service, `${role}_owner`)
    await migrate({ ...owner, POOL_SIZE: 1 } as never, MIGRATIONS[service], () => undefined)
    const pool = openPool({ connectionString: superuserUrl(databaseOf(service)), max: 2 })
    for (const limit of ['statement_timeout', 'lock_timeout', 'transaction_timeout'])
      await pool.query(
        `ALTER ROLE ${role} IN DATABASE ${databaseOf(service)} SET ${limit} = '${PATIENT_TIMEOUT}'`,
      )
    return pool
  }

  const [order, payment, inventory] = await Promise.all([
    prepare('order'),
    prepare('payment'),
    prepare('inventory'),
  ])
  const databases = { order, payment, inventory }
  await installHistory(databases.order)

  mkdirSync(join(folder, 'processor'))
  const processor = await buildProcessor({
    dataDir: join(folder, 'processor'),
    seed: suffix,
    slowMs: 3000,
    pid: process.pid,
    isRunning: () => false,
  })
  const host = '127.0.0.1'
  const processorUrl = await processor.server.listen({ port: 0, host })

  const ports = await freePorts()
  const urlOf = (service: Service): string => `http://${host}:${ports[service]}`
  const links = {
    order: await createLink(urlOf('order')),
    payment: await createLink(urlOf('payment')),
    inventory: await createLink(urlOf('inventory')),
  }

  const envOf = (service: Service): Record<string, string> => ({
    ...configOf(service, `oms_${service}`),
    DEPLOYMENT: 'local',
    LOG_LEVEL: 'silent',
    POOL_SIZE: String(POOL_SIZE),
    PSP_URL: processorUrl,
    ORDER_SERVICE_URL: links.order.origin,
    PAYMENT_SERVICE_URL: links.payment.origin,
    INVENTORY_SERVICE_URL: links.inventory.origin,
    ...env,
  })

  /** As `run` does, without the loops. */
  async function start<App extends OrderApp | PaymentApp | InventoryApp>(
    service: Service,
    app: App,
  ): Promise<Running<App>> {
    for (const step of app.server.chassis.boot) await step()
    await app.server.listen({ port: ports[service], host })
    return { app, stop: stopOnce(app.server, 0) }
  }

  const starts = {
    order: () => start('order', buildOrder(parseConfig(orderConfig, envOf('order')))),
    payment: () => start('payment', buildPayment(parseConfig(paymentConfig, envOf('payment')))),
    inventory: () =>
      start('inventory', buildInventory(parseConfig(inventoryConfig, envOf('inventory')))),
  }
  const running = {
    order: await starts.order(),
    payment: await starts.payment(),
    inventory: await starts.inventory(),
  }

  async function restart(service: Service): Promise<void> {
    await running[service].stop()
    await revive(service)
  }

  async function revive(service: Service): Promise<void> {
    Object.assign(running, { [service]: await starts[service]() })
  }

  function kill(service: Service): void {
    const { server } = running[service].app
    server.server.closeAllConnections()
    server.server.close()
    for (const close of server.chassis.closers) close().catch(() => undefined)
  }

  const urls = {
    order: urlOf('order'),
    payment: urlOf('payment'),
    inventory: urlOf('inventory'),
    processor: processorUrl,
  }

  async function close(): Promise<void> {
    for (const service of SERVICES) await running[service].stop()
    for (const link of Object.values(links)) await link.close()
    await processor.close()
    const admin = new pg.Client(superuserUrl('postgres'))
    await admin.connect()
    for (const service of SERVICES) {
      await databases[service].end()
      await admin.query(`DROP DATABASE ${databaseOf(service)} WITH (FORCE)`)
    }
    await admin.end()
    rmSync(folder, { recursive: true })
  }

  return {
    get order() {
      return running.order.app
    },
    get payment() {
      return running.payment.app
    },
    get inventory() {
      return running.inventory.app
    },
    urls,
    links,
    client: createClient(urls.order, folder),
    restart,
    kill,
    revive,
    query: async (service, sql, values = []) =>
      (await databases[service].query(sql, [...values])).rows,
    audit: () =>
      audit({
        databases,
        processorUrl,
        quiescent: true,
        ...recordings,
        metricsUrls: SERVICES.map((service) => `${urls[service]}/metrics`),
        announceLimitMs: ANNOUNCE_LIMIT_MS,
      }),
    close,
  }
}
