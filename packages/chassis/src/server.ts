/**
 * Creates the HTTP server that every service stands on: admission, trace, tenant, deadline, strict validation,
 * problems out, one log line a request. Routes only say what they take and give.
 */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { ProblemClass } from '@oms/problem/problem'
import type { Context, Span } from '@opentelemetry/api'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import type { Counter } from 'prom-client'
import {
  admitWhenWhole,
  answerUnreadable,
  createHttpServer,
  holdPermitWhileHandling,
  limiterMetrics,
} from './admission.ts'
import { limitHandlers } from './handler-timeout.ts'
import { healthRoutes, type Phase } from './health.ts'
import { createLateSchemas } from './late-schemas.ts'
import { createLimiter, type Limiter } from './limiter.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { answerMalformedAddress, useProblems } from './problem-answers.ts'
import { requestId, useRequestContext } from './request-context.ts'
import { createLogger, type End, useEndOfRequest } from './request-log.ts'
import { startTelemetry, type Telemetry } from './telemetry.ts'
import { refuseInfinity, refusePans, useStrictBodies } from './validation.ts'

/** 64 KiB: fifty lines need less than six. */
const BODY_LIMIT_BYTES = 65_536

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
  /** Run after it: what routes take and give, which a request that comes earlier waits for. */
  compileSchemas(): Promise<void>
  /** Run once loops have stopped: give leases back. */
  readonly handBack: (() => Promise<void>)[]
  /** Run last, in order: clients, then the database. */
  readonly closers: (() => Promise<void>)[]
  /** Work that goes on after its request was answered. */
  readonly background: Set<Promise<unknown>>
  /** One line a request. */
  readonly requestLog: FastifyBaseLogger
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
    /** Of `routeOptions` what every request is asked for. */
    route: { readonly url: string; readonly config: FastifyContextConfig }
    end: End
  }
  interface FastifyContextConfig {
    /** Requests a second that one tenant may send to this replica. */
    quotaPerSecond?: number
    /** How long an answer may take; 11 s where absent. */
    handlerTimeoutMs?: number
    /** False for routes that belong to no tenant. */
    tenant?: boolean
    /** For the API's description: what the route refuses with, beside what every route does. */
    problems?: readonly ProblemClass[]
    /** For the API's description: what the caller's key must be, where the route needs one. */
    key?: string
  }
}

export function createServer(options: ServerOptions): Server {
  const telemetry = startTelemetry({
    serviceName: options.serviceName,
    exporter: options.TRACE_EXPORTER,
    url: options.TRACE_URL,
    ratio: options.TRACE_RATIO,
  })
  const limiter = createLimiter({ limit: options.limit })
  const { loggerInstance, requestLog, flushLog } = createLogger(options)
  const metrics = createMetrics()
  const schemas = createLateSchemas()
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
    compileSchemas: schemas.compile,
    handBack: [],
    closers: [],
    background: new Set(),
    requestLog,
    flushLog,
  }

  const server: Server = Fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    // Not one a request: lines within a request carry its trace.
    childLoggerFactory: (logger) => logger,
    bodyLimit: BODY_LIMIT_BYTES,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    exposeHeadRoutes: false,
    // Fastify's own would destroy the socket, and with it an answer that is on its way.
    clientErrorHandler: (error, socket) =>
      answerUnreadable((error as NodeJS.ErrnoException).code, socket),
    requestIdHeader: false,
    genReqId: requestId,
    frameworkErrors: (_error, request, reply) =>
      answerMalformedAddress(server, options, request as never, reply as never),
    schemaController: schemas.schemaController,
    routerOptions: { maxParamLength: 64 },
    serverFactory: (handler) => createHttpServer(handler, options, chassis),
  }).withTypeProvider<TypeBoxTypeProvider>()

  server.decorate('chassis', chassis)
  server.decorateRequest('tenantId', '')
  server.decorateRequest('startedAt', 0)
  server.decorateRequest('route', null as never)
  server.decorateRequest('traced', null as never)
  server.decorateRequest('end', null as never)
  options.beforeRoutes?.(server)
  schemas.waitIn(server)
  refuseInfinity(server)
  admitWhenWhole(server, options)
  useStrictBodies(server)
  holdPermitWhileHandling(server)
  useRequestContext(server, options)
  limitHandlers(server)
  refusePans(server, options)
  useProblems(server)
  useEndOfRequest(server)
  limiterMetrics(chassis)
  healthRoutes(server)
  return server
}
