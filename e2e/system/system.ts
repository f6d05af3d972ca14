/** The whole system as separate processes on one PostgreSQL: what `npm start` and the system tests run. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { freePort } from '@oms/chassis/embedded-postgres'
import { provisionDatabase } from '@oms/chassis/provision'
import { STATEMENT_TIMEOUT_MS } from '@oms/provision/databases'
import { createProgram, execBundle, type Program, ProgramError, runBundle } from './program.ts'

const ROOT = resolve(import.meta.dirname, '../..')

export const SERVICES = ['order', 'payment', 'inventory'] as const
export type Service = (typeof SERVICES)[number]
export type ProgramName = Service | 'processor'

/** Of a system that is made now. */
export async function freePorts(): Promise<Readonly<Record<ProgramName, number>>> {
  return {
    order: await freePort(),
    payment: await freePort(),
    inventory: await freePort(),
    processor: await freePort(),
  }
}

export interface SystemOptions {
  /** URL of a database as superuser. */
  readonly superuserUrl: (database: string) => string
  /** Name of a service's database; its role keeps the service's own name. */
  readonly databaseOf?: (service: Service) => string
  readonly ports: Readonly<Record<ProgramName, number>>
  /** Logs, pid files, secrets, the processor's ledger. */
  readonly stateDir: string
  /** One password for every role of this system. */
  readonly password: string
  /** Variables by program, over the ones made here. */
  readonly env?: Partial<Readonly<Record<ProgramName, Readonly<Record<string, string>>>>>
  /** The audit's trigger, which writes every order's states down; false where speed is measured. */
  readonly history?: boolean
}

export interface System {
  readonly programs: Readonly<Record<ProgramName, Program>>
  readonly urls: Readonly<Record<ProgramName, string>>
  /** One more process of a service, on a port of its own; not started, stopped by whoever made it. */
  replica(service: Service, port: number, more?: Readonly<Record<string, string>>): Program
  /** Runs one of a service's operations. @throws ProgramError where it fails. */
  operate(service: Service, ...args: readonly string[]): Promise<string>
  /** Creates databases and roles, migrates, loads the demo catalogue. Idempotent. */
  prepare(): Promise<void>
  start(): Promise<void>
  /** Services first, so that what they still do finds the processor. */
  stop(): Promise<void>
  /** Runs the audit program; 1 for a violation. */
  audit(...flags: readonly string[]): Promise<{ readonly code: number; readonly output: string }>
}

export function bundleOf(name: ProgramName | 'audit'): string {
  const folder = name === 'processor' || name === 'audit' ? name : `services/${name}`
  return join(ROOT, folder, 'dist/main.mjs')
}

export function createSystem({
  superuserUrl,
  databaseOf = (service) => `oms_${service}`,
  ports,
  stateDir,
  password,
  env = {},
  history = true,
}: SystemOptions): System {
  const passwordFile = join(stateDir, 'secrets', 'database-password')

  const urlOf = (name: ProgramName): string => `http://127.0.0.1:${ports[name]}`
  const urls = {
    order: urlOf('order'),
    payment: urlOf('payment'),
    inventory: urlOf('inventory'),
    processor: urlOf('processor'),
  }

  function databaseUrl(service: Service, user: string): string {
    const url = new URL(superuserUrl(databaseOf(service)))
    url.username = user
    url.password = ''
    return url.href
  }

  function serviceEnv(service: Service, user = `oms_${service}`): Record<string, string> {
    return {
      DEPLOYMENT: 'local',
      PORT: String(ports[service]),
      DATABASE_URL: databaseUrl(service, user),
      DATABASE_PASSWORD_FILE: passwordFile,
      // No proxy has to hear of the stop.
      DRAIN_DELAY_MS: '0',
      PSP_URL: urls.processor,
      PAYMENT_SERVICE_URL: urls.payment,
      INVENTORY_SERVICE_URL: urls.inventory,
      ORDER_SERVICE_URL: urls.order,
      ...env[service],
    }
  }

  function replica(
    name: Service,
    port: number,
    more: Readonly<Record<string, string>> = {},
  ): Program {
    return createProgram({
      name: port === ports[name] ? `${name}-service` : `${name}-service-${port}`,
      bundle: bundleOf(name),
      env: { ...serviceEnv(name), PORT: String(port), ...more },
      readyUrl: `http://127.0.0.1:${port}/ready`,
      stateDir,
    })
  }

  const service = (name: Service): Program => replica(name, ports[name])
  const programs = {
    order: service('order'),
    payment: service('payment'),
    inventory: service('inventory'),
    processor: createProgram({
      name: 'card-processor',
      bundle: bundleOf('processor'),
      env: {
        PORT: String(ports.processor),
        DATA_DIR: join(stateDir, 'processor'),
        ...env.processor,
      },
      readyUrl: `${urls.processor}/health`,
      stateDir,
    }),
  }

  async function prepareDatabase(name: Service): Promise<void> {
    const database = databaseOf(name)
    await provisionDatabase(superuserUrl, {
      role: `oms_${name}`,
      database,
      servicePassword: password,
      ownerPassword: password,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS[name],
    })
    await runBundle(bundleOf(name), ['migrate'], serviceEnv(name, `oms_${name}_owner`))
  }

  async function prepare(): Promise<void> {
    mkdirSync(join(stateDir, 'secrets'), { recursive: true, mode: 0o700 })
    writeFileSync(passwordFile, password, { mode: 0o600 })
    await Promise.all(SERVICES.map(prepareDatabase))
    if (history) await installHistory()
    await Promise.all([
      operate('order', 'prices', join(ROOT, 'services/order/demo/prices.json')),
      operate('inventory', 'stock', join(ROOT, 'services/inventory/demo/stock.json')),
    ])
  }

  async function installHistory(): Promise<void> {
    const { code, output } = await execBundle(bundleOf('audit'), ['install-history'], auditEnv)
    if (code !== 0) throw new ProgramError(output)
  }

  function operate(name: Service, ...args: readonly string[]): Promise<string> {
    return runBundle(bundleOf(name), args, serviceEnv(name))
  }

  async function start(): Promise<void> {
    await Promise.all(Object.values(programs).map((program) => program.start()))
  }

  async function stop(): Promise<void> {
    await Promise.all(SERVICES.map((name) => programs[name].stop()))
    await programs.processor.stop()
  }

  const auditEnv = {
    ORDER_DATABASE_URL: superuserUrl(databaseOf('order')),
    PAYMENT_DATABASE_URL: superuserUrl(databaseOf('payment')),
    INVENTORY_DATABASE_URL: superuserUrl(databaseOf('inventory')),
    PROCESSOR_URL: urls.processor,
  }

  function audit(...flags: readonly string[]) {
    const metrics = SERVICES.flatMap((name) => ['--metrics', `${urls[name]}/metrics`])
    return execBundle(bundleOf('audit'), [...metrics, ...flags], auditEnv)
  }

  return { programs, urls, replica, operate, prepare, start, stop, audit }
}
