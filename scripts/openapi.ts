/** Writes services/<service>/openapi.json from the routes' own schemas; with --check it only compares. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { STATUS_CODES } from 'node:http'
import { join, resolve } from 'node:path'
import swagger from '@fastify/swagger'
import { parseConfig } from '@oms/chassis/config'
import { stopOnce } from '@oms/chassis/lifecycle'
import type { Server } from '@oms/chassis/server'
import { WIRE } from '@oms/contracts/headers'
import { IDEMPOTENCY_KEY_PATTERN } from '@oms/contracts/identity'
import { buildApp as buildInventory } from '@oms/inventory/src/app.ts'
import { configSchema as inventoryConfig } from '@oms/inventory/src/config.ts'
import { buildApp as buildOrder } from '@oms/order/src/app.ts'
import { configSchema as orderConfig } from '@oms/order/src/config.ts'
import { buildApp as buildPayment } from '@oms/payment/src/app.ts'
import { configSchema as paymentConfig } from '@oms/payment/src/config.ts'
import * as httpProblems from '@oms/problem/http-problems'
import { PROBLEM_TYPE_BASE, type ProblemClass } from '@oms/problem/problem'
import { validate } from '@readme/openapi-parser'
import type { FastifyContextConfig } from 'fastify'

const ROOT = resolve(import.meta.dirname, '..')

/** Never connected to: describing the routes needs no database. */
const ENV = {
  DEPLOYMENT: 'local',
  DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
  LOG_LEVEL: 'silent',
}

type BeforeRoutes = (server: Server) => void

const SERVICES: Readonly<
  Record<string, (beforeRoutes: BeforeRoutes) => { readonly server: Server }>
> = {
  order: (beforeRoutes) => buildOrder(parseConfig(orderConfig, ENV), { beforeRoutes }),
  payment: (beforeRoutes) => buildPayment(parseConfig(paymentConfig, ENV), { beforeRoutes }),
  inventory: (beforeRoutes) => buildInventory(parseConfig(inventoryConfig, ENV), { beforeRoutes }),
}

const { SHED_HEADERS: _headers, ...declared } = httpProblems
const {
  PanRejected,
  ContentTooLarge,
  UnsupportedMediaType,
  TenantQuota,
  NotFound,
  MethodNotAllowed,
  ...everywhere
} = declared
/** What any route may answer, whatever it is about. */
const EVERY_ROUTE: readonly ProblemClass[] = Object.values(everywhere)
const WITH_BODY: readonly ProblemClass[] = [PanRejected, ContentTooLarge, UnsupportedMediaType]

/** Carries a route's problems from its configuration to the finished document, where a reference may stand. */
const PROBLEMS = 'x-problems'

const PROBLEM = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'instance', 'retryable', 'outcome'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string', description: 'What happened, to what, what to do.' },
    instance: { type: 'string', description: 'The path of the resource.' },
    retryable: { type: 'boolean', description: 'The same request may be sent again.' },
    outcome: {
      type: 'string',
      enum: ['not_executed', 'unknown', 'final'],
      description: 'What became of this try.',
    },
    order_id: { type: 'string' },
    decline_code: { type: ['string', 'null'] },
    unavailable_skus: { type: 'array', items: { type: 'string' } },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        properties: { pointer: { type: 'string' }, detail: { type: 'string' } },
      },
    },
  },
}

interface Route {
  readonly schema?: object & { readonly response?: object; readonly hide?: boolean }
  readonly url: string
  readonly route: { readonly method: string | string[]; readonly config?: FastifyContextConfig }
}

/** Adds what the chassis does to every route: headers in, problems out. */
function describe({ schema = {}, url, route }: Route): { schema: object; url: string } {
  const { config = {} as FastifyContextConfig } = route
  if (config.tenant === false) return { schema: { ...schema, hide: true }, url }
  const problems = [
    ...(config.problems ?? []),
    ...(config.quotaPerSecond === undefined ? [] : [TenantQuota]),
    ...([route.method].flat().includes('POST') ? WITH_BODY : []),
    ...EVERY_ROUTE,
  ]
  const described = { ...schema, headers: headersOf(config), [PROBLEMS]: problems }
  return { schema: described, url }
}

function headersOf({ key }: FastifyContextConfig): object {
  const tenant = {
    type: 'string',
    pattern: WIRE.tenantPattern,
    description: 'Set by the gateway, from the token.',
  }
  const deadline = {
    type: 'string',
    description: 'Milliseconds that the caller still waits; malformed values are ignored.',
  }
  const headers = { [WIRE.tenantHeader]: tenant, [WIRE.deadlineHeader]: deadline }
  if (key === undefined)
    return { type: 'object', required: [WIRE.tenantHeader], properties: headers }
  const keyed = { type: 'string', pattern: IDEMPOTENCY_KEY_PATTERN, description: key }
  return {
    type: 'object',
    required: [WIRE.tenantHeader, 'idempotency-key'],
    properties: { ...headers, 'idempotency-key': keyed },
  }
}

interface Operation {
  [PROBLEMS]?: readonly ProblemClass[]
  parameters?: { required?: boolean; readonly schema: { readonly default?: unknown } }[]
  requestBody?: {
    required?: boolean
    readonly content: Readonly<Record<string, { readonly schema: { readonly required?: unknown } }>>
  }
  responses: Record<string, { description: string; content?: object }>
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

/** A value that the service knows may be left out, and so may a body without a member that must be there. */
function withWhatMayBeLeftOut(document: Document): Document {
  for (const operation of Object.values(document.paths).flatMap((path) => Object.values(path))) {
    for (const parameter of operation.parameters ?? [])
      if (parameter.schema.default !== undefined) parameter.required = false
    const { requestBody } = operation
    if (requestBody !== undefined)
      requestBody.required = Object.values(requestBody.content).every(
        ({ schema }) => schema.required !== undefined,
      )
  }
  return document
}

/** Names every answer: successes by their status, refusals by the problem types that may stand in them. */
function withAnswers(document: Document): Document {
  for (const operation of Object.values(document.paths).flatMap((path) => Object.values(path))) {
    for (const [status, answer] of Object.entries(operation.responses))
      answer.description = STATUS_CODES[status] ?? status
    const byStatus = Map.groupBy(operation[PROBLEMS] ?? [], ({ definition }) => definition.status)
    for (const [status, classes] of byStatus)
      operation.responses[status] = refusal(classes.map(({ definition }) => definition.slug))
    delete operation[PROBLEMS]
  }
  return document
}

function refusal(slugs: readonly string[]): { description: string; content: object } {
  const type = { enum: slugs.map((slug) => PROBLEM_TYPE_BASE + slug) }
  const schema = { allOf: [{ $ref: '#/components/schemas/Problem' }, { properties: { type } }] }
  return { description: slugs.join(', '), content: { 'application/problem+json': { schema } } }
}

async function generate(service: string): Promise<string> {
  const build = SERVICES[service] as (typeof SERVICES)[string]
  // Called, not registered: routes are declared at once, a registered plugin would come too late to hear of them.
  const { server } = build((each) =>
    swagger(
      each as never,
      {
        openapi: {
          openapi: '3.1.0',
          components: { schemas: { Problem: PROBLEM as never } },
          info: { title: `${service}-service`, version: '1', license: { name: 'Apache-2.0' } },
        },
        transform: describe as never,
      },
      () => undefined,
    ),
  )
  await server.ready()
  const { swagger: describeAll } = server as unknown as { swagger(): Document }
  const document = withAnswers(withWhatMayBeLeftOut(describeAll()))
  await stopOnce(server, 0)()
  const result = await validate(structuredClone(document) as never)
  if (!result.valid) throw new Error(`${service}: ${JSON.stringify(result.errors)}`)
  return `${JSON.stringify(document, null, 2)}\n`
}

const checks = process.argv.includes('--check')
const stale: string[] = []
for (const service of Object.keys(SERVICES)) {
  const file = join('services', service, 'openapi.json')
  const path = join(ROOT, file)
  const document = await generate(service)
  if (existsSync(path) && readFileSync(path, 'utf8') === document) continue
  stale.push(file)
  if (!checks) writeFileSync(path, document)
}
if (checks && stale.length > 0) {
  console.error(
    `Not what the routes say: ${stale.join(', ')}. Write them anew: npx pnpm@12.21.0 run openapi`,
  )
  process.exitCode = 1
}
