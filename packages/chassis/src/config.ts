/** Configuration: the environment, checked against one schema, all complaints in one message. */
import { readFileSync } from 'node:fs'
import AjvCompiler from '@fastify/ajv-compiler'
import { type Static, type TObject, type TProperties, Type } from 'typebox'

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

/** Variables are text; nothing but what the schema names is kept. */
const compile = AjvCompiler()(
  {},
  {
    customOptions: {
      allErrors: true,
      coerceTypes: true,
      removeAdditional: true,
      useDefaults: true,
      // Checking the schema itself costs more than all else of it.
      meta: false,
      validateSchema: false,
    },
  },
)

/**
 * The values of `schema`, typed and with defaults.
 * @throws ConfigError naming every missing or malformed variable.
 */
export function parseConfig<T extends TProperties>(
  schema: TObject<T>,
  env: Readonly<Record<string, string | undefined>>,
): Static<TObject<T>> {
  const names = Object.keys(schema.properties)
  // An empty variable counts as absent: that is what a deployment tool writes for "not set".
  const given = Object.fromEntries(
    names.flatMap((name) =>
      env[name] === undefined || env[name] === '' ? [] : [[name, env[name]]],
    ),
  )
  const validate = compile({ schema: { ...schema, additionalProperties: false } })
  if (validate(given) !== true) {
    const errors = (validate.errors ?? []) as readonly AjvError[]
    const complaints = errors.map(({ instancePath, params, message }) => {
      const name = params.missingProperty ?? instancePath.slice(1)
      const meaning = (schema.properties[name] as { description?: string }).description
      if (params.missingProperty !== undefined) return `  ${name} is missing: ${meaning ?? ''}`
      const allowed =
        params.allowedValues === undefined ? '' : `: ${params.allowedValues.join(', ')}`
      return `  ${name} ${message}${allowed}`
    })
    throw new ConfigError(
      `The configuration is not complete. Set these environment variables and start again:\n${complaints.join('\n')}`,
    )
  }
  return given as Static<TObject<T>>
}

interface AjvError {
  readonly instancePath: string
  readonly message?: string
  readonly params: {
    readonly missingProperty?: string
    readonly allowedValues?: readonly string[]
  }
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
