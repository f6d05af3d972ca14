/**
 * Compiles what routes say they take and give: not before the process answers `/health`, for a start spends more time
 * on it than on anything else, but before it is ready. A request that comes earlier waits for it.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyServerOptions } from 'fastify'
import type { TSchema } from 'typebox'
import { isProbe } from './health.ts'
import type { Server } from './server.ts'

type SchemaController = NonNullable<FastifyServerOptions['schemaController']>

/** Whose schema it is, and of what: a part of its requests, or a status of its answers. */
interface Part {
  readonly method: string
  readonly url: string
  readonly httpPart?: string
  readonly httpStatus?: string
}
interface Validate {
  (data: unknown): unknown
  readonly errors?: unknown
}
type Serialize = (data: unknown) => string

interface Compilers {
  validator(part: Part): Validate
  serializer(part: Part): Serialize
}

export interface LateSchemas {
  readonly schemaController: SchemaController
  /**
   * All of them; a later call waits for the first.
   * @throws Error naming the route whose schema does not compile.
   */
  compile(): Promise<void>
  waitIn(server: Server): void
}

export function createLateSchemas(): LateSchemas {
  const late: ((compilers: Compilers) => void)[] = []
  let compiled = false
  let compiling: Promise<void> | undefined

  function buildValidator(part: Part): (data: unknown) => unknown {
    let validate: Validate
    late.push((compilers) => {
      validate = compilers.validator(part)
    })
    return (data) => (validate(data) === false ? { error: validate.errors } : true)
  }

  function buildSerializer(part: Part): Serialize {
    let serialize: Serialize
    late.push((compilers) => {
      serialize = compilers.serializer(part)
    })
    return (data) => serialize(data)
  }

  async function compileAll(): Promise<void> {
    const compilers = await loadCompilers()
    for (const compile of late) {
      compile(compilers)
      // Whoever asks for /health must not wait for them all.
      await nextTurn()
    }
    compiled = true
  }

  function compile(): Promise<void> {
    compiling ??= compileAll()
    return compiling
  }

  function waitIn(server: Server): void {
    server.addHook('onRequest', (request, _reply, done) => {
      if (compiled || isProbe(request.raw.url)) done()
      else compile().then(() => done(), done)
    })
  }

  return {
    schemaController: {
      compilersFactory: {
        buildValidator: () => buildValidator as never,
        buildSerializer: () => buildSerializer as never,
      },
    },
    compile,
    waitIn,
  }
}

// That a schema is one shows in openapi.json; to check it at every start costs more than to compile them all.
const COMMON = { removeAdditional: false, meta: false, validateSchema: false } as const
const STRICT = { ...COMMON, coerceTypes: false, useDefaults: false } as const

async function loadAjv(customOptions: object): Promise<(part: object) => Validate> {
  const { default: AjvCompiler } = await import('@fastify/ajv-compiler')
  return AjvCompiler()({}, { customOptions }) as never
}

let answers: ReturnType<typeof loadAjv> | undefined
const conforming = new WeakMap<TSchema, Validate>()

/** Whether another's answer is as agreed. Compiled when the first one comes. */
export async function conforms(schema: TSchema, value: unknown): Promise<boolean> {
  let validate = conforming.get(schema)
  if (validate === undefined) {
    answers ??= loadAjv(STRICT)
    validate = (await answers)({ schema })
    conforming.set(schema, validate)
  }
  return validate(value) === true
}

async function loadCompilers(): Promise<Compilers> {
  const strict = await loadAjv(STRICT)
  const coercing = await loadAjv({ ...COMMON, coerceTypes: 'array' })
  const { default: SerializerCompiler } = await import('@fastify/fast-json-stringify-compiler')
  const serializing = SerializerCompiler()({}, {})
  return {
    // Bodies as they are; query, path and headers arrive as text and are coerced. Nothing is removed or defaulted away.
    validator: (part) => named(part, () => (part.httpPart === 'body' ? strict : coercing)(part)),
    serializer: (part) => named(part, () => serializing(part as never) as Serialize),
  }
}

function named<T>({ method, url, httpPart, httpStatus }: Part, compile: () => T): T {
  try {
    return compile()
  } catch (cause) {
    throw new Error(
      `The schema of ${method} ${url}, ${httpPart ?? httpStatus}, does not compile: ${(cause as Error).message}`,
      { cause },
    )
  }
}
