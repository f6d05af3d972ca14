/** Configuration: the environment, checked against one schema, all complaints in one message. */
import { readFileSync } from 'node:fs'
import { type Static, type TObject, type TProperties, type TSchema, Type } from 'typebox'
import { Check, Errors } from 'typebox/value'

/** Variables that every service has. Units stand in the names. */
export const chassisConfig = {
  DEPLOYMENT: Type.Enum(['local', 'lab', 'production'], {
    description: 'Part of the key sent to the card processor; forbids the simulated one.',
  }),
  HOST: Type.String({ default: '127.0.0.1', description: 'Address to listen on.' }),
  PORT: Type.Integer({ default: 8080, minimum: 0, maximum: 65_535 }),
  LOG_LEVEL: Type.Enum(['debug', 'info', 'warn', 'error', 'silent'], { default: 'info' }),
  POD_NAME: Type.String({ default: 'local', description: "This replica's name in the log." }),
  APP_VERSION: Type.String({ default: 'dev', description: 'What runs, for the log.' }),
  DATABASE_URL: Type.String({
    pattern: '^postgres(ql)?://',
    description: 'postgres://role@host:port/database, without the password.',
  }),
  DATABASE_PASSWORD_FILE: Type.Optional(
    Type.String({ minLength: 1, description: 'File that holds the password of DATABASE_URL.' }),
  ),
  POOL_SIZE: Type.Integer({ default: 10, minimum: 1, description: 'Database connections.' }),
  DRAIN_DELAY_MS: Type.Integer({
    default: 5000,
    minimum: 0,
    maximum: 15_000,
    description: 'Serves on this long after SIGTERM, so that every proxy has heard of it.',
  }),
  TRACE_EXPORTER: Type.Enum(['zipkin', 'otlp', 'none'], { default: 'none' }),
  TRACE_URL: Type.String({
    default: 'http://jaeger-collector.jaeger.svc.cluster.local:9411/api/v2/spans',
  }),
  TRACE_RATIO: Type.Number({
    default: 0.1,
    minimum: 0,
    maximum: 1,
    description: 'Share of traces that start here; in a mesh the first proxy decides.',
  }),
} as const satisfies TProperties

export type ChassisConfig = Static<TObject<typeof chassisConfig>>

export class ConfigError extends Error {}

/**
 * The values of `schema`, typed and with defaults; nothing but what it names.
 * @throws ConfigError naming every missing or malformed variable.
 */
export function parseConfig<T extends TProperties>(
  schema: TObject<T>,
  env: Readonly<Record<string, string | undefined>>,
): Static<TObject<T>> {
  const values: Record<string, unknown> = {}
  const complaints: string[] = []
  const required = new Set<string>(schema.required as readonly string[] | undefined)
  for (const [name, variable] of Object.entries<Variable>(schema.properties)) {
    const text = env[name]
    // An empty variable counts as absent: that is what a deployment tool writes for "not set".
    if (text === undefined || text === '') {
      if (variable.default !== undefined) values[name] = variable.default
      else if (required.has(name))
        complaints.push(`${name} is missing: ${variable.description ?? ''}`)
      continue
    }
    values[name] = isNumeric(variable) ? numberOf(text) : text
    if (Check(variable, values[name])) continue
    for (const { message } of Errors(variable, values[name])) {
      const choices = variable.enum === undefined ? '' : `: ${variable.enum.join(', ')}`
      complaints.push(`${name} ${message}${choices}`)
    }
  }
  if (complaints.length > 0)
    throw new ConfigError(
      `The configuration is not complete. Set these environment variables and start again:\n${complaints.map((each) => `  ${each}`).join('\n')}`,
    )
  return values as Static<TObject<T>>
}

type Variable = TSchema & {
  readonly type?: string
  readonly enum?: readonly string[]
  readonly default?: unknown
  readonly description?: string
}

function isNumeric({ type }: Variable): boolean {
  return type === 'integer' || type === 'number'
}

/** The text itself where it is no number, for the schema to refuse. */
function numberOf(text: string): number | string {
  const number = Number(text)
  return Number.isFinite(number) ? number : text
}

/** `parseConfig`, or the message on standard error and exit code 1. */
export function loadConfig<T extends TProperties>(
  schema: TObject<T>,
  env: Readonly<Record<string, string | undefined>>,
): Static<TObject<T>> {
  try {
    return parseConfig(schema, env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(1)
  }
}

/** Reads a secret by path; `undefined` for no path. The last newline is the editor's, not the secret's. */
export function readSecret(path: string | undefined): string | undefined {
  if (path === undefined) return undefined
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '')
  } catch (cause) {
    throw new ConfigError(`The secret file ${path} cannot be read; check path and mode.`, { cause })
  }
}
