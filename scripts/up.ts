/** What `npm start` runs: the whole system on this machine, a few telling orders, the audit; then it stays up. */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { freePort, StartError, startEmbeddedPostgres } from '@oms/chassis/embedded-postgres'
import { createClient, recordingFlags } from '@oms/e2e/client'
import { ProgramError } from '@oms/e2e/program'
import { createSystem, type ProgramName, type System } from '@oms/e2e/system'
import { buildBundles } from './build.ts'
import { endLeftOvers, START_PID_FILE } from './left-overs.ts'
import { tellOrders } from './telling-orders.ts'

const ROOT = resolve(import.meta.dirname, '..')
/** 10 s: long enough to see orders wait for a service that was stopped. */
const RESTART_AFTER_MS = 10_000

const USAGE = `npm start -- [--fresh] [--port PORT] [--data FOLDER]
  --fresh       forget all orders and start over
  --port PORT   order on PORT, payment, inventory and the card processor on the three after it (8080)
  --data FOLDER where databases, ledger and logs are kept (.data)`

const startedAt = performance.now()

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

function step(line: string): void {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  say(`${seconds.padStart(6)} s  ${line}`)
}

interface Options {
  readonly fresh: boolean
  readonly ports: Readonly<Record<ProgramName, number>>
  readonly stateDir: string
}

/** @throws StartError */
function readOptions(): Options {
  try {
    const { values } = parseArgs({
      options: {
        fresh: { type: 'boolean', default: false },
        port: { type: 'string', default: '8080' },
        data: { type: 'string', default: join(ROOT, '.data') },
      },
    })
    const port = Number(values.port)
    if (!Number.isInteger(port) || port < 1024 || port > 65_532)
      throw new Error(`--port takes a number from 1024 to 65532, not "${values.port}"`)
    return {
      fresh: values.fresh,
      ports: { order: port, payment: port + 1, inventory: port + 2, processor: port + 3 },
      stateDir: resolve(values.data),
    }
  } catch (error) {
    throw new StartError(`${(error as Error).message}\n${USAGE}`)
  }
}

/** @throws StartError where something else listens. */
async function refuseBusyPorts(ports: Options['ports']): Promise<void> {
  for (const [name, port] of Object.entries(ports)) {
    await new Promise<void>((free, busy) => {
      const probe = createServer()
      probe.once('error', ({ code }: NodeJS.ErrnoException) =>
        busy(
          new StartError(
            code === 'EADDRINUSE'
              ? `Port ${port} on 127.0.0.1, for ${name}, is taken. Stop what listens there, or choose others: npm start -- --port 9080`
              : `Port ${port} on 127.0.0.1 cannot be used (${code}). Choose others: npm start -- --port 9080`,
          ),
        ),
      )
      probe.listen(port, '127.0.0.1', () => probe.close(() => free()))
    })
  }
}

/** @throws StartError */
function prepareState({ fresh, stateDir }: Options): string {
  try {
    if (fresh) rmSync(stateDir, { recursive: true, force: true })
    mkdirSync(stateDir, { recursive: true })
    writeFileSync(join(stateDir, START_PID_FILE), `${process.pid}\n`)
    const file = join(stateDir, 'password')
    if (!existsSync(file))
      writeFileSync(file, randomBytes(18).toString('base64url'), { mode: 0o600 })
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new StartError(
      `${stateDir} cannot be written (${(cause as Error).message}). Give yourself the right to write there, or copy the project to a folder of yours.`,
      { cause },
    )
  }
}

async function up(): Promise<void> {
  const options = readOptions()
  const { ports, stateDir } = options
  await endLeftOvers(stateDir)
  await refuseBusyPorts(ports)
  const password = prepareState(options)
  stopSteps.push(async () => rmSync(join(stateDir, START_PID_FILE), { force: true }))

  const port = await freePort()
  const [postgres] = await Promise.all([
    startEmbeddedPostgres({
      dataDir: join(stateDir, 'postgres'),
      port,
      superuserPassword: password,
    }),
    buildBundles(ROOT),
  ])
  stopSteps.push(() => postgres.stop())
  step(`PostgreSQL runs on 127.0.0.1:${port}, the programs are built`)

  const system = createSystem({
    superuserUrl: postgres.url,
    ports,
    stateDir,
    password,
  })
  await system.prepare()
  step('databases migrated, demo catalogue of acme and globex loaded')
  stopSteps.push(() => system.stop())
  await system.start()
  step('order, payment, inventory and the card processor are ready; placing six orders')
  say('')
  await tellOrders(createClient(system.urls.order, stateDir), system.urls, say)
  say('')
  const { code, output } = await system.audit('--settle-timeout', '30', ...recordingFlags(stateDir))
  say(output.trimEnd())
  if (code !== 0)
    say('\nThe audit found a violation: that is a bug. Please report it with the logs.')
  say('')
  supervise(system)
  invite(system, stateDir)
}

/** Like a cluster would, brings back what ends unasked. */
function supervise(system: System): void {
  for (const program of Object.values(system.programs)) {
    const watch = async (): Promise<void> => {
      await program.gone()
      if (stopping) return
      step(`${program.name} is gone; it comes back in 10 s, and its orders wait`)
      await new Promise((done) => setTimeout(done, RESTART_AFTER_MS))
      if (stopping) return
      await program.start().then(
        () => step(`${program.name} is back`),
        (error: Error) => step(error.message),
      )
      await watch()
    }
    void watch()
  }
}

function invite({ urls }: System, stateDir: string): void {
  const below = relative(process.cwd(), stateDir)
  const folder = below.startsWith('..') ? stateDir : below
  say(`order      ${urls.order}/api/v1/orders      feed of ended orders: /api/v1/orders/events
payment    ${urls.payment}/api/v1/payments/{order_id}
inventory  ${urls.inventory}/api/v1/stock
processor  ${urls.processor}/v1/charges             its own ledger of what it captured

Place one yourself:

curl -i ${urls.order}/api/v1/orders -H 'x-tenant-id: acme' -H 'content-type: application/json' \\
  -H "idempotency-key: $(date +%s)-my-first-order" \\
  -d '{"currency":"EUR","lines":[{"sku":"MOKA-POT","quantity":1}],"payment_token":"pm_approve0001"}'

Then stop payment and place another: it is accepted, waits, and ends once payment is back.

kill -9 $(cat ${folder}/payment-service.pid)

Logs are in ${folder}/logs. Ctrl-C stops everything and keeps the data.`)
}

let stopping = false
const stopSteps: (() => Promise<unknown>)[] = []

async function stop(): Promise<void> {
  for (const each of stopSteps.reverse()) await each().catch((error: Error) => say(error.message))
}

function stopOnSignal(): void {
  if (stopping) return
  stopping = true
  say('\nStopping …')
  void stop().then(() => {
    say('Stopped. The data is kept; npm start goes on with it.')
    process.exit(0)
  })
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stopOnSignal)
try {
  await up()
} catch (error) {
  if (!stopping) {
    stopping = true
    const told = error instanceof StartError || error instanceof ProgramError
    process.stderr.write(`\n${told ? error.message : (error as Error).stack}\n`)
    await stop()
    process.exit(1)
  }
}
