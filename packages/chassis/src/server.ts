/**
 * Creates the HTTP server that every service stands on: admission, trace, tenant, deadline, strict validation,
 * problems out, one log line a request. Routes only say what they take and give.
 */
import {
  createServer as createHttpServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import type { Socket } from 'node:net'
import AjvCompiler from '@fastify/ajv-compiler'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import {
  ContentTooLarge,
  DeadlineTooShort,
  Internal,
  InvalidRequest,
  MethodNotAllowed,
  NotFound,
  Overloaded,
  PanRejected,
  RequestHeaderFieldsTooLarge,
  SHED_HEADERS,
  TenantMissing,
  TenantQuota,
  Unavailable,
  UnsupportedMediaType,
} from '@oms/problem/http-problems'
import { Problem, problemBody } from '@oms/problem/problem'
import { type Context, context, type Span, SpanStatusCode } from '@opentelemetry/api'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify'
import { type DestinationStream, pino } from 'pino'
import type { Counter } from 'prom-client'
import { withBackground, withDeadline, withForwarded } from './context.ts'
import { healthRoutes, isProbe, type Phase } from './health.ts'
import { createLimiter, createQuota, type Limiter, type Permit } from './limiter.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { containsPan, maskPans } from './redact.ts'
import { activeTraceIds, startServerSpan, startTelemetry, type Telemetry } from './telemetry.ts'

/** 64 KiB: fifty lines need less than six. */
const BODY_LIMIT_BYTES = 65_536
/** 16 KiB, Node's own default, stated because the contract promises it. */
const MAX_HEADER_BYTES = 16_384
/** 11 s: the longest answer, order's, comes by 10.5 s. Answers 503; the work goes on. */
const HANDLER_TIMEOUT_MS = 11_000
/** Below this a request is refused before it is executed. */
const MIN_DEADLINE_MS = 50

export interface ServerOptions {
  readonly serviceName: string
  readonly POD_NAME: string
  readonly APP_VERSION: string
  readonly LOG_LEVEL: string
  readonly TRACE_EXPORTER: 'zipkin' | 'otlp' | 'none'
  readonly TRACE_URL: string
  readonly TRACE_RATIO: number
  /** Requests in flight. */
  readonly limit: number
  /** This service answers within so many ms, whatever the caller allows. */
  readonly ownDeadlineMs: number
  readonly tenantHeader: string
  readonly tenantPattern: string
  readonly deadlineHeader: string
  readonly forwardedHeaders: readonly string[]
  /** Log fields and span attributes by the header they are read from. */
  readonly correlationHeaders: Readonly<Record<string, string>>
  /** Headers that callers fill freely: refused where they hold a card number. */
  readonly freeTextHeaders: readonly string[]
  /** Members of a body that hold codes, not people's words: a card number there is a coincidence. */
  readonly panExemptMembers: readonly string[]
  /** Plugins that must see every route: OpenAPI, response validation. */
  readonly beforeRoutes?: (server: Server) => void
  /** Where log lines go; standard output by default. */
  readonly logStream?: { write(line: string): void }
}

export type Server = FastifyInstance<
  HttpServer,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/** A loop that `every` registered. */
export interface Loop {
  start(): void
  stop(): Promise<void>
}

/** What the chassis keeps beside Fastify; `lifecycle.ts` starts and stops it. */
export interface Chassis {
  phase: Phase
  readonly limiter: Limiter
  readonly metrics: Metrics
  readonly telemetry: Telemetry
  readonly loops: Loop[]
  /** `sweeper_passes_total`: what became of the loops' passes. */
  readonly passes: Counter<'outcome'>
  /** Run before the server is ready: schema waits, boot refusals. */
  readonly boot: (() => Promise<void>)[]
  /** Run once loops have stopped: give leases back. */
  readonly handBack: (() => Promise<void>)[]
  /** Run last, in order: clients, then the database. */
  readonly closers: (() => Promise<void>)[]
  /** Work that goes on after its request was answered. */
  readonly background: Set<Promise<unknown>>
  flushLog(): void
}

declare module 'fastify' {
  interface FastifyInstance {
    chassis: Chassis
  }
  interface FastifyRequest {
    tenantId: string
    traced: { readonly span: Span; readonly requestContext: Context; readonly traceId: string }
    startedAt: number
  }
  interface FastifyContextConfig {
    /** Requests a second that one tenant may send to this replica. */
    quotaPerSecond?: number
    /** False for routes that belong to no tenant. */
    tenant?: boolean
  }
}

const ARRIVED = Symbol('arrived')
const PERMIT = Symbol('permit')

interface Admitted extends IncomingMessage {
  [ARRIVED]?: number
  [PERMIT]?: Permit
}

export function createServer(options: ServerOptions): Server {
  const telemetry = startTelemetry({
    serviceName: options.serviceName,
    exporter: options.TRACE_EXPORTER,
    url: options.TRACE_URL,
    ratio: options.TRACE_RATIO,
  })
  const limiter = createLimiter({ limit: options.limit })
  const { loggerInstance, flushLog } = createLogger(options)
  const metrics = createMetrics()
  const chassis: Chassis = {
    phase: 'starting',
    limiter,
    metrics,
    telemetry,
    loops: [],
    passes: metrics.counter('sweeper_passes_total', 'Passes of background loops by outcome.', [
      'outcome',
    ]),
    boot: [],
    handBack: [],
    closers: [],
    background: new Set(),
    flushLog,
  }

  const server: Server = Fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_LIMIT_BYTES,
    handlerTimeout: HANDLER_TIMEOUT_MS,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    exposeHeadRoutes: false,
    requestIdHeader: 'x-request-id',
    routerOptions: { maxParamLength: 64 },
    serverFactory: (handler) => httpServer(handler, options, chassis),
  }).withTypeProvider<TypeBoxTypeProvider>()

  server.decorate('chassis', chassis)
  server.decorateRequest('tenantId', '')
  server.decorateRequest('startedAt', 0)
  server.decorateRequest('traced', null as never)
  options.beforeRoutes?.(server)
  useStrictValidation(server)
  useStrictBodies(server)
  holdPermitWhileHandling(server)
  useRequestContext(server, options)
  refusePans(server, options)
  useProblems(server)
  useLogLine(server, options)
  limiterMetrics(chassis)
  healthRoutes(server)
  return server
}

function createLogger(options: ServerOptions): {
  readonly loggerInstance: FastifyBaseLogger
  readonly flushLog: () => void
} {
  // Without periodicFlush a quiet service shows nothing for hours.
  const stdout =
    options.logStream === undefined
      ? pino.destination({ sync: false, minLength: 4096, periodicFlush: 1000 })
      : undefined
  const destination = options.logStream ?? stdout
  const loggerInstance: FastifyBaseLogger = pino(
    {
      level: options.LOG_LEVEL,
      base: {
        service: options.serviceName,
        pod: options.POD_NAME,
        version: options.APP_VERSION,
      },
      mixin: activeTraceIds,
      redact: [
        'authorization',
        'cookie',
        '*.authorization',
        '*.cookie',
        'payment_token',
        '*.payment_token',
      ],
    },
    destination as DestinationStream,
  )
  const flushLog = () => stdout?.flushSync()
  return { loggerInstance, flushLog }
}

/** Node's server with admission ahead of routing. Fastify sets no socket timeouts on a server it did not make. */
function httpServer(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
  options: ServerOptions,
  chassis: Chassis,
): HttpServer {
  const shed = Buffer.from(
    JSON.stringify(
      problemBody(
        new Overloaded('Too many requests are being served; try again after a second.'),
        '/',
      ),
    ),
  )

  function refuse(response: ServerResponse): void {
    const closing = chassis.phase === 'draining' ? { connection: 'close' } : {}
    response.writeHead(429, {
      'content-type': 'application/problem+json',
      'content-length': shed.length,
      'cache-control': 'no-store',
      ...SHED_HEADERS,
      ...closing,
    })
    response.end(shed)
  }

  function onRequest(request: Admitted, response: ServerResponse): void {
    if (isProbe(request.url)) {
      handler(request, response)
      return
    }
    request[ARRIVED] = performance.now()
    chassis.limiter.admit({
      tenant: String(request.headers[options.tenantHeader] ?? ''),
      alive: () => !response.destroyed && !request.socket.destroyed,
      refuse: () => refuse(response),
      run(permit) {
        request[PERMIT] = permit
        response.once('close', permit.hold())
        handler(request, response)
      },
    })
  }

  const server = createHttpServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      requestTimeout: 10_000,
      headersTimeout: 10_000,
      connectionsCheckingInterval: 1000,
      // Longer than any client keeps an idle connection: the client closes first, never into a request.
      keepAliveTimeout: 72_000,
      insecureHTTPParser: false,
    },
    onRequest,
  )
  server.timeout = 15_000
  server.on('clientError', answerUnreadable)
  return server
}

/** Bytes that are no HTTP request: a problem where the socket still takes one, then the end of the connection. */
function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const problem =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? new RequestHeaderFieldsTooLarge('The request headers are larger than 16 KiB; send fewer.')
      : new InvalidRequest('The bytes received are not an HTTP/1.1 request; check the client.')
  const status = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : problem.definition.status
  const body = JSON.stringify({ ...problemBody(problem, '/'), status })
  socket.end(
    [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      'content-type: application/problem+json',
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
      '',
      body,
    ].join('\r\n'),
  )
}

/** Bodies as they are; query, path and headers arrive as text and are coerced. Nothing is removed or defaulted away. */
function useStrictValidation(server: Server): void {
  const build = AjvCompiler()
  const strict = build({}, { customOptions: { removeAdditional: false, coerceTypes: false } })
  const coercing = build({}, { customOptions: { removeAdditional: false, coerceTypes: 'array' } })
  server.setValidatorCompiler(
    (route) => (route.httpPart === 'body' ? strict : coercing)(route as never) as never,
  )
}

/** Only JSON in UTF-8; no body at all counts as `{}`. */
function useStrictBodies(server: Server): void {
  const parse = server.getDefaultJsonParser('error', 'error')
  server.removeAllContentTypeParsers()
  server.addContentTypeParser(
    /^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i,
    { parseAs: 'string' },
    (request, body, done) => {
      if (body === '') done(null, {})
      else void parse(request, body as string, done)
    },
  )
  server.addHook('preValidation', async (request) => {
    if (request.body === undefined && request.method === 'POST') request.body = {}
  })
}

/** A permit covers the handler too: a caller that hangs up does not make room for more work than fits. */
function holdPermitWhileHandling(server: Server): void {
  server.addHook('onRoute', (route) => {
    const { handler } = route
    route.handler = async function permitted(request, reply) {
      const release = (request.raw as Admitted)[PERMIT]?.hold()
      try {
        return await handler.call(this, request, reply)
      } finally {
        release?.()
      }
    }
  })
}

function useRequestContext(server: Server, options: ServerOptions): void {
  const tenantPattern = new RegExp(options.tenantPattern)
  const quotas = new Map<number, ReturnType<typeof createQuota>>()

  server.addHook('onRequest', (request, reply, done) => {
    request.startedAt = performance.now()
    reply.header('cache-control', 'no-store')
    if (server.chassis.phase === 'draining') reply.header('connection', 'close')
    if (isProbe(request.raw.url)) {
      done()
      return
    }
    const admitted = request.raw as Admitted
    const arrivedAt = admitted[ARRIVED] ?? request.startedAt
    const { span, requestContext } = startServerSpan(
      `${request.method} ${request.routeOptions.url ?? 'unmatched'}`,
      request.headers,
      correlation(request, options.correlationHeaders),
    )
    const deadlineAt = arrivedAt + deadlineMs(request, options)
    const carried = withBackground(
      withForwarded(
        withDeadline(requestContext, deadlineAt),
        pick(request, options.forwardedHeaders),
      ),
      (work) => trackBackground(server.chassis, admitted[PERMIT], work),
    )
    const { traceId } = span.spanContext()
    request.traced = { span, requestContext: carried, traceId }
    reply.header('x-trace-id', traceId)
    context.with(carried, () => {
      if (deadlineAt - performance.now() < MIN_DEADLINE_MS)
        done(
          new DeadlineTooShort(
            `The deadline leaves less than ${MIN_DEADLINE_MS} ms; nothing was done. Allow more time.`,
          ) as never,
        )
      else done()
    })
  })

  // A body that arrives in a later packet is read in the socket's context: enter the request's again.
  server.addHook('preValidation', (request, _reply, done) => {
    if (request.traced === null) done()
    else context.with(request.traced.requestContext, done)
  })

  server.addHook('onRequest', async (request) => {
    if (request.routeOptions.config.tenant === false || request.is404) return
    request.tenantId = tenantOf(request, options.tenantHeader, tenantPattern)
  })

  server.addHook('preHandler', async (request) => {
    const { quotaPerSecond } = request.routeOptions.config
    if (quotaPerSecond === undefined) return
    let quota = quotas.get(quotaPerSecond)
    if (quota === undefined) {
      quota = createQuota(quotaPerSecond)
      quotas.set(quotaPerSecond, quota)
    }
    if (quota.take(request.tenantId)) return
    throw new TenantQuota(
      `The tenant sent more than ${quotaPerSecond} such requests a second; slow down.`,
    )
  })
}

/** Before validation, so that nothing of it reaches an answer, a log line or the database. */
function refusePans(server: Server, options: ServerOptions): void {
  const exempt = new Set(options.panExemptMembers)

  server.addHook('preValidation', async (request) => {
    const inHeader = options.freeTextHeaders.find((name) =>
      containsPan(String(request.headers[name] ?? '')),
    )
    if (inHeader !== undefined)
      throw new PanRejected(`${inHeader} holds a card number; send a token or a random key.`)
    if (request.body === undefined || request.body === null) return
    const text = JSON.stringify(request.body, (name, value) =>
      exempt.has(name) ? undefined : value,
    )
    if (text !== undefined && containsPan(text))
      throw new PanRejected(
        "The body holds a card number; send the card processor's token instead.",
      )
  })
}

function trackBackground(
  chassis: Chassis,
  permit: Permit | undefined,
  work: Promise<unknown>,
): void {
  const release = permit?.hold()
  const tracked = work
    .catch(() => undefined)
    .finally(() => {
      chassis.background.delete(tracked)
      release?.()
    })
  chassis.background.add(tracked)
}

/** @throws TenantMissing, InvalidRequest. Node joins a repeated header with a comma, which the pattern refuses. */
function tenantOf(request: FastifyRequest, header: string, pattern: RegExp): string {
  const value = request.headers[header]
  if (value === undefined || value === '')
    throw new TenantMissing(
      `The request carries no ${header}. Call through the gateway, or set the header in local runs.`,
    )
  if (typeof value !== 'string' || !pattern.test(value))
    throw new InvalidRequest(`${header} must be one tenant name that matches ${pattern.source}.`)
  return value
}

/** The least of what the caller says, what its proxy says and our own cap; malformed values are ignored. */
function deadlineMs(request: FastifyRequest, options: ServerOptions): number {
  const offers = [
    request.headers[options.deadlineHeader],
    request.headers['x-envoy-expected-rq-timeout-ms'],
  ]
  const valid = offers.flatMap((offer) =>
    typeof offer === 'string' && /^\d{1,9}$/.test(offer) ? [Number(offer)] : [],
  )
  return Math.min(options.ownDeadlineMs, ...valid)
}

function pick(request: FastifyRequest, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = request.headers[name]
      return typeof value === 'string' ? [[name, value]] : []
    }),
  )
}

function correlation(
  request: FastifyRequest,
  headers: Readonly<Record<string, string>>,
  reply?: FastifyReply,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([field, header]) => {
      const value = reply?.getHeader(header) ?? request.headers[header]
      return typeof value === 'string' && value.length <= 255 ? [[field, maskPans(value)]] : []
    }),
  )
}

function useProblems(server: Server): void {
  const routes: { readonly method: string; readonly pattern: RegExp }[] = []
  server.addHook('onRoute', ({ method, url }) => {
    const pattern = new RegExp(`^${url.replace(/:[^/]+/g, '[^/]+')}$`)
    for (const each of [method].flat()) routes.push({ method: each, pattern })
  })

  server.setNotFoundHandler((request, reply) => {
    const path = pathOf(request)
    const allowed = routes.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method)
    if (allowed.length === 0)
      return send(reply, new NotFound('There is no such resource; see openapi.json.'), path)
    reply.header('allow', [...new Set(allowed)].join(', '))
    return send(
      reply,
      new MethodNotAllowed(`This resource takes ${[...new Set(allowed)].join(', ')}.`),
      path,
    )
  })

  server.setErrorHandler((error: FastifyError, request, reply) => {
    const problem = toProblem(error)
    if (problem.definition.status >= 500) request.log.error({ err: error }, 'request failed')
    return send(reply, problem, pathOf(request))
  })
}

function send(reply: FastifyReply, problem: Problem, path: string): FastifyReply {
  const { status, headers } = problem.definition
  return reply
    .code(status)
    .headers(headers ?? {})
    .type('application/problem+json')
    .serializer((payload: unknown) => payload as string)
    .send(JSON.stringify(problemBody(problem, path)))
}

function pathOf(request: FastifyRequest): string {
  return maskPans((request.raw.url ?? '/').split('?', 1)[0] as string)
}

function toProblem(error: FastifyError): Problem {
  if (error instanceof Problem) return error
  if (error.validation !== undefined) return invalid(error)
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new ContentTooLarge('The body is larger than 64 KiB; send less.')
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new UnsupportedMediaType('Send application/json in UTF-8.')
    case 'FST_ERR_HANDLER_TIMEOUT':
      return new Unavailable('The answer took too long; ask again with the same key.')
  }
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500)
    return new InvalidRequest(
      'The body is not valid JSON, or its length is not what was announced.',
    )
  return new Internal('Something failed here; the request may be sent again.')
}

function invalid(error: FastifyError): Problem {
  const where = error.validationContext ?? 'body'
  const errors = (error.validation ?? []).map(({ instancePath, message, params }) => {
    const extra = (params as { additionalProperty?: unknown }).additionalProperty
    const name = typeof extra === 'string' ? `/${maskPans(extra.slice(0, 64))}` : ''
    return { pointer: `/${where}${instancePath}${name}`, detail: message ?? 'is not valid' }
  })
  const first = errors[0]
  return new InvalidRequest(
    first === undefined
      ? `The ${where} is not valid.`
      : `${first.pointer} ${first.detail}; see openapi.json.`,
    { errors },
  )
}

/** One line a request, with everything that tests and operators count on; probes only when a mesh peer sent them. */
function useLogLine(server: Server, options: ServerOptions): void {
  server.addHook('onResponse', async (request, reply) => {
    const status = reply.statusCode
    const durationMs = performance.now() - request.startedAt
    const probe = isProbe(request.raw.url)
    if (!probe) {
      const { span } = request.traced
      if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
      span.setAttributes({
        'http.response.status_code': status,
        ...correlation(request, options.correlationHeaders, reply),
      })
      span.end()
      server.chassis.metrics.observeRequest(
        {
          method: request.method,
          route: request.routeOptions.url ?? 'unmatched',
          status: String(status),
        },
        durationMs / 1000,
        span,
      )
    }
    const certificate = request.headers['x-forwarded-client-cert']
    if (probe && certificate === undefined) return
    const attempt = Number(request.headers['x-envoy-attempt-count'])
    const spanContext = request.traced?.span.spanContext()
    server.log.info(
      {
        peer: peerOf(certificate),
        method: request.method,
        path: pathOf(request),
        status,
        attempt: Number.isInteger(attempt) ? attempt : null,
        ...Object.fromEntries(Object.keys(options.correlationHeaders).map((name) => [name, null])),
        ...correlation(request, options.correlationHeaders, reply),
        sampled: request.headers['x-b3-sampled'] ?? null,
        trace_id: spanContext?.traceId ?? null,
        span_id: spanContext?.spanId ?? null,
        duration_ms: Math.round(durationMs * 1000) / 1000,
        aborted: !reply.raw.writableFinished,
      },
      'request',
    )
  })
}

/** URI of the last element: the caller's proxy wrote that one, the others are the caller's own words. */
function peerOf(certificate: string | string[] | undefined): string | null {
  if (certificate === undefined) return null
  const last = String(certificate).split(',').at(-1) as string
  return /(?:^|;)URI=([^;]*)/.exec(last)?.[1] ?? null
}

function limiterMetrics({ metrics, limiter }: Chassis): void {
  metrics.gauge('limiter_in_flight', 'Permits taken.', () => limiter.stats().inFlight)
  metrics.gauge('limiter_queued', 'Requests waiting for a permit.', () => limiter.stats().queued)
  let counted = 0
  const rejectedTotal = metrics.counter('limiter_rejected_total', 'Requests refused with 429.')
  metrics.onScrape(() => {
    const { rejected } = limiter.stats()
    rejectedTotal.inc(rejected - counted)
    counted = rejected
  })
}
