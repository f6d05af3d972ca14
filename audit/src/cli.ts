/** The command line: flags, with environment variables behind them, in; a table and an exit code out. */
import { parseArgs } from 'node:util'
import pg from 'pg'
import { type AuditInputs, audit, exitCode } from './audit.ts'
import { InputError } from './evidence.ts'
import { installHistory } from './history.ts'
import { formatReport } from './report.ts'

export interface Terminal {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly colours: boolean
  out(text: string): void
  err(text: string): void
}

/** 5 s: a database that takes longer to answer is out of reach. */
const CONNECT_TIMEOUT_MS = 5000

const USAGE = `Checks the invariants I1-I12 over the three databases and the card processor's ledger.

  audit [flags]            prints one row a promise
  audit install-history    installs the trigger that I7 reads (test databases only)

  --order-url URL          oms_order, as a role that sees all tenants     ORDER_DATABASE_URL
  --inventory-url URL      oms_inventory                                  INVENTORY_DATABASE_URL
  --payment-url URL        oms_payment                                    PAYMENT_DATABASE_URL
  --processor-url URL      the card processor: I1, I10                    PROCESSOR_URL
  --psp-mode MODE          http (default), or simulated: no processor     PSP_MODE
  --acks FILE              JSON lines of acknowledged orders: I3          AUDIT_ACKS
  --answers FILE           JSON lines of final answers: I8                AUDIT_ANSWERS
  --metrics URL…           /metrics of every process: I12                 AUDIT_METRICS
  --quiescent              no faults, no traffic for 30 s: checks the parts that hold only then
  --settle-timeout SEC     waits until nothing is under way, then as --quiescent
  --announce-limit SEC     99 % of the events are younger: I11 (default 2)
  --json                   the rows as JSON
  --help

Exit code: 0 no promise is broken, 1 one is, 2 wrong usage or an input out of reach.
`

const FLAGS = {
  'order-url': { type: 'string' },
  'inventory-url': { type: 'string' },
  'payment-url': { type: 'string' },
  'processor-url': { type: 'string' },
  'psp-mode': { type: 'string' },
  acks: { type: 'string' },
  answers: { type: 'string' },
  metrics: { type: 'string', multiple: true },
  quiescent: { type: 'boolean' },
  'settle-timeout': { type: 'string' },
  'announce-limit': { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean' },
} as const

/** Returns the exit code. */
export async function runCli(terminal: Terminal): Promise<0 | 1 | 2> {
  const pools: pg.Pool[] = []
  try {
    const { values, positionals } = parse(terminal.argv)
    if (values.help === true) {
      terminal.out(USAGE)
      return 0
    }
    const connect = (flag: DatabaseFlag): pg.Pool => {
      const pool = createPool(flag, values[flag], terminal.env)
      pools.push(pool)
      return pool
    }
    if (positionals[0] === 'install-history' && positionals.length === 1)
      return await install(connect('order-url'), terminal)
    const inputs = {
      ...readInputs(values, positionals, terminal.env),
      databases: databases(connect),
    }
    const rows = await audit(inputs)
    terminal.out(
      values.json === true
        ? `${JSON.stringify({ rows }, null, 2)}\n`
        : formatReport(rows, { colours: terminal.colours }),
    )
    return exitCode(rows)
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    terminal.err(`${error.message}\n`)
    return 2
  } finally {
    await Promise.all(pools.map((pool) => pool.end()))
  }
}

type Values = ReturnType<typeof parse>['values']
type DatabaseFlag = 'order-url' | 'inventory-url' | 'payment-url'

const DATABASE_VARIABLES: Readonly<Record<DatabaseFlag, string>> = {
  'order-url': 'ORDER_DATABASE_URL',
  'inventory-url': 'INVENTORY_DATABASE_URL',
  'payment-url': 'PAYMENT_DATABASE_URL',
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: FLAGS, allowPositionals: true })
  } catch (error) {
    throw new InputError(`${(error as Error).message}\nRun it with --help to see its flags.`, {
      cause: error,
    })
  }
}

function databases(connect: (flag: DatabaseFlag) => pg.Pool): AuditInputs['databases'] {
  return {
    order: connect('order-url'),
    inventory: connect('inventory-url'),
    payment: connect('payment-url'),
  }
}

function createPool(flag: DatabaseFlag, value: string | undefined, env: Terminal['env']): pg.Pool {
  const variable = DATABASE_VARIABLES[flag]
  const url = given(value) ?? given(env[variable])
  if (url === undefined) throw new InputError(`Set ${variable} or --${flag} postgres://…`)
  if (!/^postgres(ql)?:\/\//.test(url) || !URL.canParse(url))
    throw new InputError(`${variable} (--${flag}) is no postgres:// URL.`)
  const pool = new pg.Pool({
    connectionString: url,
    max: 1,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'oms-audit',
  })
  // Without a listener the error of an idle connection ends the process; the next query tells.
  pool.on('error', () => undefined)
  return pool
}

function readInputs(
  values: Values,
  positionals: readonly string[],
  env: Terminal['env'],
): Omit<AuditInputs, 'databases'> {
  const more = values.metrics === undefined ? [] : positionals
  const unknown = values.metrics === undefined ? positionals[0] : undefined
  if (unknown !== undefined)
    throw new InputError(
      `There is no command "${unknown}". Run it with --help to see what there is.`,
    )
  const metrics = values.metrics ?? [given(env['AUDIT_METRICS']) ?? '']
  const pspMode = given(values['psp-mode']) ?? given(env['PSP_MODE']) ?? 'http'
  if (pspMode !== 'http' && pspMode !== 'simulated')
    throw new InputError(`PSP_MODE (--psp-mode) is http or simulated, not "${pspMode}".`)
  const processorUrl = given(values['processor-url']) ?? given(env['PROCESSOR_URL'])
  return {
    simulated: pspMode === 'simulated',
    processorUrl: processorUrl && httpUrl(processorUrl, 'PROCESSOR_URL (--processor-url)'),
    acksFile: given(values.acks) ?? given(env['AUDIT_ACKS']),
    answersFile: given(values.answers) ?? given(env['AUDIT_ANSWERS']),
    metricsUrls: [...metrics, ...more]
      .flatMap((list) => list.split(/[\s,]+/))
      .filter((url) => url !== '')
      .map((url) => httpUrl(url, '--metrics')),
    quiescent: values.quiescent === true,
    settleTimeoutMs: milliseconds(values['settle-timeout'], '--settle-timeout'),
    announceLimitMs: milliseconds(values['announce-limit'], '--announce-limit'),
  }
}

/** An empty variable counts as absent: that is what a deployment tool writes for "not set". */
function given(value: string | undefined): string | undefined {
  return value === '' ? undefined : value
}

function httpUrl(url: string, name: string): string {
  if (!/^https?:\/\//.test(url) || !URL.canParse(url))
    throw new InputError(`${name} takes an http:// or https:// URL, not "${url}".`)
  return url
}

function milliseconds(value: string | undefined, flag: string): number | undefined {
  if (value === undefined) return undefined
  const seconds = Number(value)
  if (!Number.isFinite(seconds) || seconds < 0 || value.trim() === '')
    throw new InputError(`${flag} takes seconds, not "${value}".`)
  return seconds * 1000
}

async function install(pool: pg.Pool, terminal: Terminal): Promise<0> {
  try {
    await installHistory(pool)
  } catch (error) {
    throw new InputError(`The history cannot be installed: ${(error as Error).message}.`, {
      cause: error,
    })
  }
  terminal.out('The history of orders is recorded from now on.\n')
  return 0
}
