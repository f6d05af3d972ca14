/**
 * Creates the HTTP server that every service stands on: admission, trace, tenant, deadline, strict validation,
 * problems out, one log line a request. Routes only say what they take and give.
 */
import { randomUUID } from 'node:crypto'
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
  RequestTimeout,
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
import { createLimiter, createQuota, type Limiter, type Permit, type Quota } from './limiter.ts'
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
/** 1 s: closing with bytes unread resets the connection, and a reset may overtake the answer. */
const LINGER_MS = 1000
/** A caller's request id is its own text: as much of it as a log line should bear. */
const MAX_REQUEST_ID_LENGTH = 128

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
  /** Members that no log line may show, on top or one level down. */
  readonly secretMembers?: readonly string[]
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
  readonly serviceName: string
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

/** Both must have happened before a request counts as ended. */
interface End {
  /** There is an answer, read or not. */
  answered(): void
  /** Nobody waits any more. */
  closed(): void
}

declare module 'fastify' {
  interface FastifyInstance {
    chassis: Chassis
  }
  interface FastifyRequest {
    tenantId: string
    traced: { readonly span: Span; readonly requestContext: Context; readonly traceId: string }
    startedAt: number
    end: End
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

/** Connections that sent what is no request: nothing that follows on them is served. */
const UNREADABLE = new WeakSet<Socket>()

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
    serviceName: options.serviceName,
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
    // Fastify's own would destroy the socket, and with it an answer that is on its way.
    clientErrorHandler: (error, socket) =>
      answerUnreadable((error as NodeJS.ErrnoException).code, socket),
    requestIdHeader: false,
    genReqId: requestId,
    // Addresses that the router cannot read never reach a hook: they are opened and answered here.
    frameworkErrors: (_error, request, reply) => {
      openRequest(server, options, request as never, reply as never)
      request.end.answered()
      send(
        reply as never,
        new InvalidRequest('The address is malformed, or a part of it too long.'),
        pathOf(request as never),
      )
    },
    routerOptions: { maxParamLength: 64 },
    serverFactory: (handler) => httpServer(handler, options, chassis),
  }).withTypeProvider<TypeBoxTypeProvider>()

  server.decorate('chassis', chassis)
  server.decorateRequest('tenantId', '')
  server.decorateRequest('startedAt', 0)
  server.decorateRequest('traced', null as never)
  server.decorateRequest('end', null as never)
  options.beforeRoutes?.(server)
  useStrictValidation(server)
  useStrictBodies(server)
  holdPermitWhileHandling(server)
  useRequestContext(server, options)
  refusePans(server, options)
  useProblems(server)
  useEndOfRequest(server)
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
      redact: ['authorization', 'cookie', ...(options.secretMembers ?? [])].flatMap((name) => [
        name,
        `*.${name}`,
      ]),
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
    // The rest of a request that was answered as unreadable may still complete it.
    if (UNREADABLE.has(request.socket)) {
      request.socket.destroy()
      return
    }
    // A request line without a version: HTTP/0.9.
    if (request.httpVersionMajor < 1) {
      answerUnreadable(undefined, request.socket)
      return
    }
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
  return server
}

/** Bytes that are no HTTP request: a problem where the socket still takes one, then the end of the connection. */
function answerUnreadable(
  code: string | undefined,
  socket: Socket & { readonly _httpMessage?: ServerResponse | null },
): void {
  // What follows the first unreadable byte is read and dropped.
  if (UNREADABLE.has(socket)) return
  UNREADABLE.add(socket)
  // A second status line inside an answer that has begun would be read as its body.
  if (code === 'ECONNRESET' || !socket.writable || socket._httpMessage?.headersSent === true) {
    socket.destroy()
    return
  }
  const problem = unreadableProblem(code)
  const { status } = problem.definition
  const body = JSON.stringify(problemBody(problem, '/'))
  socket.end(
    [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      'content-type: application/problem+json',
      'cache-control: no-store',
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
      '',
      body,
    ].join('\r\n'),
  )
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
}

function unreadableProblem(code: string | undefined): Problem {
  if (code === 'HPE_HEADER_OVERFLOW')
    return new RequestHeaderFieldsTooLarge(
      'The request headers are larger than 16 KiB; send fewer.',
    )
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new RequestTimeout('The request did not arrive within 10 s; send it again, faster.')
  return new InvalidRequest('The bytes received are not an HTTP/1.1 request; check the client.')
}

/** Bodies as they are; query, path and headers arrive as text and are coerced. Nothing is removed or defaulted away. */
function useStrictValidation(server: Server): void {
  const build = AjvCompiler()
  const strict = build(
    {},
    { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false } },
  )
  const coercing = build({}, { customOptions: { removeAdditional: false, coerceTypes: 'array' } })
  server.setValidatorCompiler(
    (route) => (route.httpPart === 'body' ? strict : coercing)(route as never) as never,
  )
  // "1e400" is coerced to Infinity, which every bound lets pass.
  server.addHook('preHandler', async ({ query }) => {
    for (const [name, value] of Object.entries(query as object))
      if (Math.abs(value) === Number.POSITIVE_INFINITY)
        throw new InvalidRequest(
          `/querystring/${name} must be a finite number; see openapi.json.`,
          {
            errors: [{ pointer: `/querystring/${name}`, detail: 'must be finite' }],
          },
        )
  })
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

/** The caller's id where it gives one, for the log. */
function requestId(request: IncomingMessage): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && given !== ''
    ? maskPans(given.slice(0, MAX_REQUEST_ID_LENGTH))
    : randomUUID()
}

/** Starts what every request has: static headers, span, deadline. Returns the ms until the answer is due. */
function openRequest(
  server: Server,
  options: ServerOptions,
  request: FastifyRequest,
  reply: FastifyReply,
): number {
  request.startedAt = performance.now()
  reply.header('cache-control', 'no-store')
  request.end = createEnd(() => endRequest(server, options, request, reply))
  reply.raw.once('close', request.end.closed)
  if (isProbe(request.raw.url)) return Number.POSITIVE_INFINITY
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
  return deadlineAt - performance.now()
}

function useRequestContext(server: Server, options: ServerOptions): void {
  const tenantPattern = new RegExp(options.tenantPattern)
  /** By the route's configuration: two routes of the same rate do not share their tokens. */
  const quotas = new Map<object, Quota>()

  server.addHook('onRequest', (request, reply, done) => {
    const leftMs = openRequest(server, options, request, reply)
    if (request.traced === null) {
      done()
      return
    }
    context.with(request.traced.requestContext, () => {
      if (leftMs < MIN_DEADLINE_MS)
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
    const { config } = request.routeOptions
    const { quotaPerSecond } = config
    if (quotaPerSecond === undefined) return
    let quota = quotas.get(config)
    if (quota === undefined) {
      quota = createQuota(quotaPerSecond)
      quotas.set(config, quota)
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
    if (holdsPan(request.body, exempt))
      throw new PanRejected(
        "The body holds a card number; send the card processor's token instead.",
      )
  })
}

/** Member names count, too. Not recursive: a body of 64 KiB can be deeper than the stack. */
function holdsPan(body: unknown, exempt: ReadonlySet<string>): boolean {
  const todo: unknown[] = [body]
  while (todo.length > 0) {
    const value = todo.pop()
    if (typeof value === 'string' || typeof value === 'number') {
      if (containsPan(String(value))) return true
    } else if (Array.isArray(value)) {
      for (const each of value) todo.push(each)
    } else if (typeof value === 'object' && value !== null) {
      for (const [name, member] of Object.entries(value))
        if (!exempt.has(name)) todo.push(name, member)
    }
  }
  return false
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

function toProblem(error: FastifyError | null | undefined): Problem {
  if (error instanceof Problem) return error
  if (error === null || error === undefined)
    return new Internal('Something failed here; the request may be sent again.')
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
    const name = typeof extra === 'string' ? `/${pointerToken(maskPans(extra.slice(0, 64)))}` : ''
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

/** A member's name inside a JSON pointer (RFC 6901, section 3). */
function pointerToken(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

/**
 * A request ends when its answer is written or, where the caller hung up, when the answer that nobody reads is there.
 * Fastify's onResponse alone would miss the second kind.
 */
function useEndOfRequest(server: Server): void {
  server.addHook('onSend', (request, reply, payload, done) => {
    if (server.chassis.phase === 'draining') reply.header('connection', 'close')
    request.end?.answered()
    done(null, payload)
  })

  server.addHook('onResponse', (request, _reply, done) => {
    request.end?.closed()
    done()
  })
}

/** Calls back once, when both have happened. */
function createEnd(callback: () => void): End {
  let answered = false
  let closed = false
  let over = false
  function check(): void {
    if (!answered || !closed || over) return
    over = true
    callback()
  }
  return {
    answered() {
      answered = true
      check()
    },
    closed() {
      closed = true
      check()
    },
  }
}

/** One line a request, with everything that tests and operators count on; probes only when a mesh peer sent them. */
function endRequest(
  server: Server,
  options: ServerOptions,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const status = reply.statusCode
  const durationMs = performance.now() - request.startedAt
  const probe = isProbe(request.raw.url)
  if (request.traced !== null) {
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
}

/** URI of the last element: the caller's proxy wrote that one, the others are the caller's own words. */
function peerOf(certificate: string | string[] | undefined): string | null {
  if (certificate === undefined) return null
  const last = String(certificate).split(',').at(-1) as string
  return /(?:^|;)URI=([^;]*)/.exec(last.trim())?.[1] ?? null
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
