/** Problems out: whatever is thrown becomes `application/problem+json`, and what is no problem becomes a bare 500. */
import {
  ContentTooLarge,
  Internal,
  InvalidRequest,
  MethodNotAllowed,
  NotFound,
  Unavailable,
  UnsupportedMediaType,
} from '@oms/problem/http-problems'
import { Problem, problemBody } from '@oms/problem/problem'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { maskPans } from './redact.ts'
import { openRequest } from './request-context.ts'
import { pathOf } from './request-log.ts'
import type { Server, ServerOptions } from './server.ts'

export function useProblems(server: Server): void {
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
