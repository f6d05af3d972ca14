/** The log: one line a request, with everything that tests and operators count on, when the request has ended. */
import { SpanStatusCode } from '@opentelemetry/api'
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import { type DestinationStream, pino } from 'pino'
import { isProbe } from './health.ts'
import { containsPan, maskPans } from './redact.ts'
import type { Server, ServerOptions } from './server.ts'
import { activeTraceIds } from './telemetry.ts'

const MAX_SHOWN_LENGTH = 255
/** What the B3 headers may say. */
const SAMPLED = new Set(['0', '1', 'true', 'false'])

/** Both must have happened before a request counts as ended. */
export interface End {
  /** There is an answer, read or not. */
  answered(): void
  /** Nobody waits any more. */
  closed(): void
}

export function createLogger(options: ServerOptions): {
  readonly loggerInstance: FastifyBaseLogger
  readonly requestLog: FastifyBaseLogger
  readonly flushLog: () => void
} {
  // Without periodicFlush a quiet service shows nothing for hours.
  const stdout =
    options.logStream === undefined
      ? pino.destination({ sync: false, minLength: 4096, periodicFlush: 1000 })
      : undefined
  const destination = options.logStream ?? stdout
  const common = {
    level: options.LOG_LEVEL,
    base: {
      service: options.serviceName,
      pod: options.POD_NAME,
      version: options.APP_VERSION,
    },
  }
  const loggerInstance: FastifyBaseLogger = pino(
    {
      ...common,
      mixin: activeTraceIds,
      serializers: { err: toldError },
      redact: ['authorization', 'cookie', ...(options.secretMembers ?? [])].flatMap((name) => [
        name,
        `*.${name}`,
      ]),
    },
    destination as DestinationStream,
  )
  // Its members are named below, none of them a secret: looking for some would cost a tenth of the request.
  const requestLog: FastifyBaseLogger = pino(common, destination as DestinationStream)
  const flushLog = () => stdout?.flushSync()
  return { loggerInstance, requestLog, flushLog }
}

/** No other members: drivers hang rows, statements and whole connections, with their secrets, on what they throw. */
function toldError(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) }
  const { type, message, stack, code } = pino.stdSerializers.err(error)
  return { type, message, stack, code }
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
  const whose = correlation(request, options.correlationHeaders, reply)
  if (request.traced !== null) {
    const { span } = request.traced
    if (span.isRecording()) {
      if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
      span.setAttributes({ 'http.response.status_code': status, ...whose })
    }
    span.end()
    server.chassis.metrics.observeRequest(
      { method: request.method, route: request.route.url, status: String(status) },
      durationMs / 1000,
      span,
    )
  }
  const certificate = request.headers['x-forwarded-client-cert']
  if (probe && certificate === undefined) return
  const spanContext = request.traced?.span.spanContext()
  const line: Record<string, string | number | boolean | null> = {
    peer: peerOf(certificate),
    method: request.method,
    path: pathOf(request),
    status,
    attempt: attemptOf(request.headers['x-envoy-attempt-count']),
    sampled: sampledOf(request.headers['x-b3-sampled']),
    trace_id: spanContext?.traceId ?? null,
    span_id: spanContext?.spanId ?? null,
    duration_ms: Math.round(durationMs * 1000) / 1000,
    aborted: !reply.raw.writableFinished,
  }
  for (const field of Object.keys(options.correlationHeaders)) line[field] = whose[field] ?? null
  server.chassis.requestLog.info(line, 'request')
}

/** URI of the last element: the caller's proxy wrote that one, the others are the caller's own words. */
function peerOf(certificate: string | string[] | undefined): string | null {
  if (certificate === undefined) return null
  const last = String(certificate).split(',').at(-1) as string
  return shown(/(?:^|;)URI=([^;]*)/.exec(last.trim())?.[1])
}

/** A header is its sender's own words: no more of it than a log line should bear, and no card number. */
function shown(value: unknown): string | null {
  return typeof value === 'string' && value.length <= MAX_SHOWN_LENGTH ? maskPans(value) : null
}

function sampledOf(header: unknown): string | null {
  return typeof header === 'string' && SAMPLED.has(header) ? header : null
}

function attemptOf(count: unknown): number | null {
  return typeof count === 'string' && /^\d{1,4}$/.test(count) ? Number(count) : null
}

export function pathOf(request: FastifyRequest): string {
  const path = (request.raw.url ?? '/').split('?', 1)[0] as string
  const plain = path.includes('%') ? decoded(path) : path
  return maskPans(containsPan(plain) ? plain : path)
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** The fields that tell whose request it is, from the answer or else the request. */
export function correlation(
  request: FastifyRequest,
  headers: Readonly<Record<string, string>>,
  reply?: FastifyReply,
): Record<string, string> {
  const fields: Record<string, string> = {}
  for (const field of Object.keys(headers)) {
    const header = headers[field] as string
    const value = shown(reply?.getHeader(header) ?? request.headers[header])
    if (value !== null) fields[field] = value
  }
  return fields
}
