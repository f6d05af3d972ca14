/** The log: one line a request, with everything that tests and operators count on, when the request has ended. */
import { SpanStatusCode } from '@opentelemetry/api'
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import { type DestinationStream, pino } from 'pino'
import { isProbe } from './health.ts'
import { maskPans } from './redact.ts'
import type { Server, ServerOptions } from './server.ts'
import { activeTraceIds } from './telemetry.ts'

/** Both must have happened before a request counts as ended. */
export interface End {
  /** There is an answer, read or not. */
  answered(): void
  /** Nobody waits any more. */
  closed(): void
}

export function createLogger(options: ServerOptions): {
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

/**
 * A request ends when its answer is written or, where the caller hung up, when the answer that nobody reads is there.
 * Fastify's onResponse alone would miss the second kind.
 */
export function useEndOfRequest(server: Server): void {
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

/** Watches for the end of a request, which then is logged, measured and its span closed. */
export function startEnd(
  server: Server,
  options: ServerOptions,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  request.end = createEnd(() => endRequest(server, options, request, reply))
  reply.raw.once('close', request.end.closed)
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

export function pathOf(request: FastifyRequest): string {
  return maskPans((request.raw.url ?? '/').split('?', 1)[0] as string)
}

/** The fields that tell whose request it is, from the answer or else the request. */
export function correlation(
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
