/** A system of real processes on a PostgreSQL of the caller's, whose services die at fault points. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openPool } from '@oms/chassis/pool'
import pg from 'pg'
import { createClient, recordingFlags } from '../system/client.ts'
import { createSystem, freePorts, SERVICES, type Service } from '../system/system.ts'
import { createFaults } from './faults.ts'
import { serviceOf } from './points.ts'
import { type Action, DELAY_MS, endLeases, type Fault, type Site } from './site.ts'

const ROUND_MS = 50
/** Of each service: several systems share one server, and each works on one order. */
const POOL_SIZE = 5
/** A minute of rounds: a lease lasts 12 s, a backoff 15 s at most. */
const MAX_ROUNDS = 1200
/** 60 s: here publishers die, and each costs its claim of 5 s. */
const ANNOUNCE_LIMIT_SECONDS = 60
const SETTLE_SECONDS = 60

/** Of each service, below a failure. */
const LOG_LINES = 10

/** These end the process, at once or soon. */
const MORTAL: ReadonlySet<Action> = new Set(['crash', 'crash_after', 'hang'])

export interface ProcessSiteOptions {
  readonly superuserUrl: (database: string) => string
  /** Of the services' roles, which belong to the server. */
  readonly password: string
  /** Gets a folder for this site. */
  readonly folder: string
  /** Ends leases instead of waiting for them. */
  readonly hurry: boolean
}

export interface ProcessSite extends Site {
  /** Points that its processes came by so far. */
  passed(): readonly string[]
  /** The last that its services logged as a warning or worse. */
  warnings(): string
}

export async function createProcessSite({
  superuserUrl,
  password,
  folder,
  hurry,
}: ProcessSiteOptions): Promise<ProcessSite> {
  const stateDir = mkdtempSync(join(folder, 'site-'))
  const suffix = randomBytes(5).toString('hex')
  const databaseOf = (service: Service): string => `oms_${service}_${suffix}`
  const faults = createFaults(join(stateDir, 'faults'))
  const env = { ...faults.env, LOG_LEVEL: 'warn', POOL_SIZE: String(POOL_SIZE) }
  const system = createSystem({
    superuserUrl,
    databaseOf,
    ports: await freePorts(),
    stateDir,
    password,
    env: { order: env, payment: env, inventory: env },
  })
  const { programs, urls } = system

  const connect = (service: Service): pg.Pool =>
    openPool({ connectionString: superuserUrl(databaseOf(service)), max: 1 })
  const databases = {
    order: connect('order'),
    payment: connect('payment'),
    inventory: connect('inventory'),
  }
  const query: Site['query'] = async (service, sql, values = []) =>
    (await databases[service].query(sql, [...values])).rows

  const actions = new Map<string, Action>()
  const away = new Set<Service>()
  let buried = 0
  let awake = 0
  let closed: Promise<void> | undefined

  function arm(fault: Fault): void {
    actions.set(fault.point, fault.action)
    faults.arm(fault)
  }

  /** Whoever was hit so that it dies is dead. */
  async function bury(): Promise<void> {
    const hits = faults.hits()
    for (const point of hits.slice(buried)) {
      const action = actions.get(point)
      if (action !== undefined && MORTAL.has(action)) await programs[serviceOf(point)].gone()
    }
    buried = hits.length
  }

  /** Whoever was delayed goes on: until then it holds a permit, which is no leak. */
  async function outlastDelays(): Promise<void> {
    const hits = faults.hits().slice(awake)
    awake += hits.length
    if (hits.some((point) => actions.get(point) === 'delay')) await sleep(DELAY_MS)
  }

  async function revive(): Promise<void> {
    await bury()
    for (const service of SERVICES) {
      if (closed !== undefined) throw new Error('the system is closed')
      if (away.has(service) || programs[service].pid() !== undefined) continue
      const before = faults.hits().length
      await programs[service].start().catch((error: Error) => {
        // It may die again before it was seen to be ready.
        if (faults.hits().length === before) throw error
      })
    }
  }

  async function heal(): Promise<void> {
    away.clear()
    await revive()
  }

  async function audit(): Promise<string | undefined> {
    await outlastDelays()
    const settle = ['--settle-timeout', String(SETTLE_SECONDS)]
    const announced = ['--announce-limit', String(ANNOUNCE_LIMIT_SECONDS)]
    const { code, output } = await system.audit(
      ...settle,
      ...announced,
      ...recordingFlags(stateDir),
    )
    return code === 0 ? undefined : output
  }

  function close(): Promise<void> {
    closed ??= end()
    return closed
  }

  async function end(): Promise<void> {
    await Promise.all(Object.values(programs).map((program) => program.stop('SIGKILL')))
    await Promise.all(Object.values(databases).map((pool) => pool.end()))
    const admin = new pg.Client(superuserUrl('postgres'))
    await admin.connect()
    for (const service of SERVICES)
      await admin.query(`DROP DATABASE IF EXISTS ${databaseOf(service)} WITH (FORCE)`)
    await admin.end()
  }

  const client = createClient(urls.order, stateDir)
  try {
    await system.prepare()
    await system.start()
    // Unharmed it works; and the audit needs something that was acknowledged.
    await client.placeToEnd()
  } catch (error) {
    await close()
    throw error
  }

  return {
    client,
    inventoryUrl: urls.inventory,
    query,
    maxRounds: MAX_ROUNDS,
    arm,
    disarm: faults.disarm,
    hits: faults.hits,
    passed: faults.passed,
    async round() {
      await revive()
      if (hurry) await endLeases(query)
      await sleep(ROUND_MS)
    },
    revive,
    async away(service) {
      away.add(service)
      await programs[service].stop('SIGKILL')
    },
    heal,
    audit,
    warnings: () => SERVICES.map((service) => lastLines(programs[service].logFile)).join('\n'),
    close,
  }
}

function lastLines(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-LOG_LINES).join('\n')
}
