/** `pnpm verify:fuzz`: V6 at its target scale, by Schemathesis with all its checks, against real processes. */
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createClient } from '../system/client.ts'
import { createSystem, freePorts, SERVICES, type Service, type System } from '../system/system.ts'
import {
  type DatabaseJob,
  JOB_PASSWORD,
  provenance,
  randomSeed,
  runJob,
  UsageError,
  wholeNumber,
  withPostgres,
} from '../verification.ts'
import { documentFile, operationsOf } from './documents.ts'
import { type Counts, type FuzzResult, fuzz, installSchemathesis } from './schemathesis.ts'

const USAGE = `pnpm verify:fuzz [--scale=target] [--requests=N] [--only=SERVICE] [--seed=N]
  --scale     smoke (100 requests of each operation), target (10,000), nightly (150,000)
  --requests  another number of them
  --only      order, payment or inventory alone`

const REQUESTS_OF_SCALE: Readonly<Record<string, number>> = {
  smoke: 100,
  target: 10_000,
  nightly: 150_000,
}
/** Schemathesis keeps every case of a run in memory, and grows slow. */
const REQUESTS_OF_A_RUN = 1000
/** A scenario of the stateful phase is several requests over several operations. */
const REQUESTS_OF_A_SCENARIO = 20
const ORDERS_AT_FIRST = 50
/** The quotas are another test's; here they would hide what is behind them. */
const NO_QUOTA = '1000000'
/** In stock for tenant acme, at a price in EUR: services/{order,inventory}/demo. */
const SKUS = ['ESPRESSO-BEANS-1KG', 'MOKA-POT', 'GRINDER-BURR', 'PAPER-FILTERS-100', 'MUG-BLUE']

interface Options {
  /** Of each operation, at least. */
  readonly requests: number
  readonly services: readonly Service[]
  readonly seed: number
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      scale: { type: 'string', default: 'target' },
      requests: { type: 'string' },
      only: { type: 'string' },
      seed: { type: 'string', default: String(randomSeed()) },
    },
  })
  const { scale, only, seed } = values
  const requests = values.requests ?? String(REQUESTS_OF_SCALE[scale] ?? '')
  if (requests === '') throw new UsageError(`There is no scale "${scale}".`)
  const services = SERVICES.filter((service) => service === (only ?? service))
  if (services.length === 0) throw new UsageError(`There is no service "${only}".`)
  return {
    requests: wholeNumber('--requests', requests),
    services,
    seed: wholeNumber('--seed', seed),
  }
}

async function startSystem({ postgres, folder, atEnd }: DatabaseJob): Promise<System> {
  const env = { LOG_LEVEL: 'warn' }
  const system = createSystem({
    superuserUrl: postgres.url,
    ports: await freePorts(),
    stateDir: folder,
    password: JOB_PASSWORD,
    env: {
      order: { ...env, TENANT_ORDERS_PER_SECOND: NO_QUOTA, TENANT_CANCELS_PER_SECOND: NO_QUOTA },
      payment: env,
      inventory: env,
    },
  })
  atEnd.push(() => system.stop())
  await system.prepare()
  await system.start()
  return system
}

/** Orders, payments and reservations to ask about from the first request on. */
async function placeOrders({ urls }: System): Promise<readonly string[]> {
  const client = createClient(urls.order)
  const answers = await Promise.all(
    Array.from({ length: ORDERS_AT_FIRST }, () => client.placeToEnd()),
  )
  return answers.map(({ body }) => String(body['order_id']))
}

/** Ends what still runs. */
function endChildren(children: ReadonlySet<ChildProcess>): Promise<unknown> {
  return Promise.all(
    [...children].map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
    }),
  )
}

function sum(...all: readonly Counts[]): Counts {
  const total: Record<string, Record<string, number>> = {}
  for (const [operation, statuses] of all.flatMap((counts) => Object.entries(counts)))
    for (const [status, count] of Object.entries(statuses)) {
      total[operation] ??= {}
      total[operation][status] = (total[operation][status] ?? 0) + count
    }
  return total
}

function requestsOf(statuses: Counts[string] = {}): number {
  return Object.values(statuses).reduce((total, count) => total + count, 0)
}

/** What Schemathesis says of its findings. */
function findingsOf({ output }: FuzzResult): string {
  const at = output.search(/^=+ (ERRORS|FAILURES) =+$/m)
  return output.slice(Math.max(0, at)).trim()
}

await runJob(USAGE, async (job) => {
  const { say, folder, atEnd, ended } = job
  const { requests, services, seed } = readOptions()
  const program = await installSchemathesis(say)
  const system = await startSystem(await withPostgres(job))
  const orders = await placeOrders(system)
  const children = new Set<ChildProcess>()
  atEnd.push(() => endChildren(children))
  say(`${requests} requests of each operation of ${services.join(', ')}, seed ${seed}`)

  async function fuzzService(service: Service): Promise<readonly FuzzResult[]> {
    const common = {
      program,
      document: documentFile(`services/${service}`),
      url: system.urls[service],
      skus: SKUS,
      orders,
      onStart: (child: ChildProcess) => void children.add(child),
    }
    const runs = Math.ceil(requests / REQUESTS_OF_A_RUN)
    const results: FuzzResult[] = []
    // What one run has found, the next would find again.
    for (let run = 0; run < runs && results.every(({ clean }) => clean); run++) {
      const size = Math.ceil(requests / runs)
      for (const { phases, maxExamples } of [
        { phases: ['coverage', 'fuzzing'], maxExamples: size },
        { phases: ['stateful'], maxExamples: Math.ceil(size / REQUESTS_OF_A_SCENARIO) },
      ] as const) {
        // Its folder goes with the job's: none begins when the job ends.
        ended.throwIfAborted()
        const ofRun = join(folder, [service, run, ...phases].join('-'))
        const options = { ...common, seed: seed + run, phases, maxExamples, folder: ofRun }
        results.push(await fuzz(options))
      }
      say(`${service}: run ${run + 1} of ${runs}`)
    }
    return results
  }

  const results = (await Promise.all(services.map(fuzzService))).flat()
  const counts = sum(...results.map((result) => result.counts))
  for (const [operation, statuses] of Object.entries(counts)) {
    const told = Object.entries(statuses).map(([status, count]) => `${count} × ${status}`)
    console.info(`${String(requestsOf(statuses)).padStart(8)}  ${operation}: ${told.join(', ')}`)
  }
  const unclean = results.filter(({ clean }) => !clean)
  for (const result of unclean) console.error(findingsOf(result))
  const operations = services
    .flatMap((service) => operationsOf(`services/${service}`))
    .map(({ method, path }) => `${method} ${path}`)
  const short = operations.filter((operation) => requestsOf(counts[operation]) < requests)
  for (const operation of short)
    console.error(`${operation} got ${requestsOf(counts[operation])} requests of ${requests}.`)
  const errors = Object.values(counts)
    .flatMap((statuses) => Object.entries(statuses))
    .filter(([status]) => Number(status) >= 500)
    .reduce((total, [, count]) => total + count, 0)
  const total = Object.values(counts).reduce((all, statuses) => all + requestsOf(statuses), 0)
  const least = Math.min(...operations.map((operation) => requestsOf(counts[operation])))
  say(
    `n = ${total} requests of ${operations.length} operations, at least ${least} of each, ${errors} × 5xx, ${unclean.length} runs with findings; of an operation: ${provenance(least, seed)}`,
  )
  return unclean.length === 0 && short.length === 0 && errors === 0
})
