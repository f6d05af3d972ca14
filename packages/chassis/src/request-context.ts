/** What a request carries: id, span, tenant, deadline, headers to pass on; and the quota of its tenant. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import {
  DeadlineTooShort,
  InvalidRequest,
  TenantMissing,
  TenantQuota,
} from '@oms/problem/http-problems'
import { context } from '@opentelemetry/api'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { arrivedAt, permitOf } from './admission.ts'
import { checking } from './checking-hook.ts'
import { withCarried } from './context.ts'
import { isProbe } from './health.ts'
import { createQuota, type Permit, type Quota } from './limiter.ts'
import { maskPans } from './redact.ts'
import { correlation, startEnd } from './request-log.ts'
import type { Chassis, Server, ServerOptions } from './server.ts'
import { startServerSpan } from './telemetry.ts'

/** Below this a request is refused before it is executed. */
const MIN_DEADLINE_MS = 50
/** A caller's request id is its own text: as much of it as a log line should bear. */
const MAX_REQUEST_ID_LENGTH = 128

/** The caller's id where it gives one, for the log. */
export function requestId(request: IncomingMessage): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && given !== ''
    ? maskPans(given).slice(0, MAX_REQUEST_ID_LENGTH)
    : randomUUID()
}

/** Starts what every request has: static headers, span, deadline. Returns the ms until the answer is due. */
export function openRequest(
  server: Server,
  options: ServerOptions,
  request: FastifyRequest,
  reply: FastifyReply,
): number {
  request.startedAt = performance.now()
  // Made anew by Fastify whenever it is asked for.
  const { url = 'unmatched', config } = request.routeOptions
  request.route = { url, config }
  reply.header('cache-control', 'no-store')
  startEnd(server, options, request, reply)
  if (isProbe(request.raw.url)) return Number.POSITIVE_INFINITY
  const { span, requestContext } = startServerSpan(
    `${request.method} ${request.route.url}`,
    request.headers,
    () => correlation(request, options.correlationHeaders),
  )
  const arrived = arrivedAt(request.raw) ?? request.startedAt
  const deadlineAt = arrived + deadlineMs(request, options)
  const carried = withCarried(requestContext, {
    deadlineAt,
    forwarded: pick(request, options.forwardedHeaders),
    track: (work) => trackBackground(server.chassis, permitOf(request.raw), work),
  })
  const { traceId } = span.spanContext()
  request.traced = { span, requestContext: carried, traceId }
  reply.header('x-trace-id', traceId)
  return deadlineAt - performance.now()
}

export function useRequestContext(server: Server, options: ServerOptions): void {
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

  function readTenant(request: FastifyRequest): void {
    if (request.route.config.tenant === false || request.is404) return
    request.tenantId = tenantOf(request, options.tenantHeader, tenantPattern)
  }

  function takeQuota(request: FastifyRequest): void {
    const { config } = request.route
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
  }

  server.addHook('onRequest', checking(readTenant))
  server.addHook('preHandler', checking(takeQuota))
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

/** The least of what the caller says, what its proxy says and our own cap. */
function deadlineMs(request: FastifyRequest, options: ServerOptions): number {
  return Math.min(
    options.ownDeadlineMs,
    offeredMs(request.headers[options.deadlineHeader]),
    offeredMs(request.headers['x-envoy-expected-rq-timeout-ms']),
  )
}

/** Malformed values are ignored. */
function offeredMs(offer: unknown): number {
  return typeof offer === 'string' && /^\d{1,9}$/.test(offer)
    ? Number(offer)
    : Number.POSITIVE_INFINITY
}

function pick(request: FastifyRequest, names: readonly string[]): Record<string, string> {
  const picked: Record<string, string> = {}
  for (const name of names) {
    const value = request.headers[name]
    if (typeof value === 'string') picked[name] = value
  }
  return picked
}
