/** Problems out: whatever is thrown becomes `application/problem+json`, and what is no problem becomes a bare 500. */
import {
  ContentTooLarge,
  Internal,
  InvalidRequest,
  MethodNotAllowed,
  NotFound,
  RequestTimeout,
  Unavailable,
  UnsupportedMediaType,
} from '@oms/problem/http-problems'
import { Problem, problemBody } from '@oms/problem/problem'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { tooSlow } from './admission.ts'
import { maskPans } from './redact.ts'
import { openRequest } from './request-context.ts'
import { pathOf } from './request-log.ts'
import type { Server, ServerOptions } from './server.ts'

export function useProblems(server: Server): void {
  /** Methods by the address as it is declared. */
  const methodsOf = new Map<string, Set<string>>()
  server.addHook('onRoute', ({ method, url }) => {
    const methods = methodsOf.get(url) ?? new Set()
    for (const each of [method].flat()) methods.add(each)
    methodsOf.set(url, methods)
  })

  /** An address that is spelled as a route belongs to it, also where a parameter of another could hold it. */
  function methodsAt(path: string): readonly string[] {
    const spelled = methodsOf.get(path)
    if (spelled !== undefined) return [...spelled]
    const found = [...methodsOf].filter(([url]) => patternOf(url).test(path))
    return [...new Set(found.flatMap(([, methods]) => [...methods]))]
  }

  function refuseAddress(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const path = pathOf(request)
    const allowed = methodsAt(path).join(', ')
    if (allowed === '')
      return send(reply, new NotFound('There is no such resource; see openapi.json.'), path)
    reply.header('allow', allowed)
    return send(reply, new MethodNotAllowed(`This resource takes ${allowed}.`), path)
  }

  server.setNotFoundHandler(refuseAddress)
  // Before the body is read: whether there is such a resource does not depend on what is sent there.
  server.addHook('onRequest', (request, reply, done) => {
    const spelled = methodsOf.get((request.raw.url ?? '/').split('?', 1)[0] as string)
    const isAnothers = spelled !== undefined && !spelled.has(request.method)
    if (request.is404 || isAnothers) refuseAddress(request, reply)
    else done()
  })

  server.setErrorHandler((error: FastifyError, request, reply) => {
    const problem = isStillArriving(error, request) ? tooSlow() : toProblem(error)
    if (problem instanceof RequestTimeout) reply.header('connection', 'close')
    if (problem.definition.status >= 500)
      request.log.error({ err: error, reqId: request.id }, 'request failed')
    return send(reply, problem, pathOf(request))
  })
}

/** An address that the router cannot read reaches no hook: the request is opened and answered here. */
export function answerMalformedAddress(
  server: Server,
  options: ServerOptions,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  openRequest(server, options, request, reply)
  request.end.answered()
  send(
    reply,
    new InvalidRequest('The address is malformed, or a part of it too long.'),
    pathOf(request),
  )
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

function patternOf(url: string): RegExp {
  return new RegExp(`^${url.replace(/:[^/]+/g, '[^/]+')}$`)
}

/** Of a sender that trickles: its 503 would count against this instance, and a handful would eject it. */
function isStillArriving(error: FastifyError | null | undefined, { raw }: FastifyRequest): boolean {
  return error?.code === 'FST_ERR_HANDLER_TIMEOUT' && raw.complete === false
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
    const name = typeof extra === 'string' ? `/${pointerToken(maskPans(extra).slice(0, 64))}` : ''
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
