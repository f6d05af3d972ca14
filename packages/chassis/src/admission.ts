/**
 * Node's HTTP server with admission ahead of routing: who is refused costs a prebuilt buffer. A request whose body is
 * still on its way takes its permit once it is whole, for slow senders would hold every one. Bytes that are no request
 * are answered here, too, for they never reach Fastify.
 */
import {
  createServer as createNodeServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import type { Socket } from 'node:net'
import {
  InvalidRequest,
  Overloaded,
  RequestHeaderFieldsTooLarge,
  RequestTimeout,
  SHED_HEADERS,
} from '@oms/problem/http-problems'
import { type Problem, problemBody } from '@oms/problem/problem'
import { isProbe } from './health.ts'
import type { Job, Permit } from './limiter.ts'
import type { Chassis, Server, ServerOptions } from './server.ts'

/** 16 KiB, Node's own default, stated because the contract promises it. */
const MAX_HEADER_BYTES = 16_384
/** 1 s: closing with bytes unread resets the connection, and a reset may overtake the answer. */
const LINGER_MS = 1000

const OVERLOADED = 'Too many requests are being served; try again after a second.'

const ARRIVED = Symbol('arrived')
const PERMIT = Symbol('permit')

/** Connections that sent what is no request: nothing that follows on them is served. */
const UNREADABLE = new WeakSet<Socket>()

interface Admitted extends IncomingMessage {
  [ARRIVED]?: number
  [PERMIT]?: Permit
}

/** When the request arrived, on the monotonic clock of `performance.now()`; `undefined` for a probe. */
export function arrivedAt(request: IncomingMessage): number | undefined {
  return (request as Admitted)[ARRIVED]
}

/** The request's permit; `undefined` for a probe. */
export function permitOf(request: IncomingMessage): Permit | undefined {
  return (request as Admitted)[PERMIT]
}

/** True where no part of the body is still to come. */
function isWhole(request: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers
  if (length === undefined) return coding === undefined || request.complete
  return request.readableLength >= Number(length)
}

function jobOf(
  request: IncomingMessage,
  response: ServerResponse,
  tenantHeader: string,
): Pick<Job, 'tenant' | 'alive'> {
  return {
    tenant: String(request.headers[tenantHeader] ?? ''),
    alive: () => !response.destroyed && !request.socket.destroyed,
  }
}

function keep(permit: Permit, request: Admitted, response: ServerResponse): void {
  request[PERMIT] = permit
  response.once('close', permit.hold())
}

/** Fastify sets no socket timeouts on a server it did not make. */
export function createHttpServer(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
  options: ServerOptions,
  chassis: Chassis,
): HttpServer {
  const shed = Buffer.from(JSON.stringify(problemBody(new Overloaded(OVERLOADED), '/')))

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
    if (isWhole(request)) admit(request, response)
    // What came in the packet of the headers has been read by then.
    else
      queueMicrotask(() => {
        if (isWhole(request)) admit(request, response)
        else handler(request, response)
      })
  }

  function admit(request: Admitted, response: ServerResponse): void {
    chassis.limiter.admit({
      ...jobOf(request, response, options.tenantHeader),
      refuse: () => refuse(response),
      run(permit) {
        keep(permit, request, response)
        handler(request, response)
      },
    })
  }

  const server = createNodeServer(
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
export function answerUnreadable(
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

export function tooSlow(): Problem {
  return new RequestTimeout('The request did not arrive within 10 s; send it again, faster.')
}

function unreadableProblem(code: string | undefined): Problem {
  if (code === 'HPE_HEADER_OVERFLOW')
    return new RequestHeaderFieldsTooLarge(
      'The request headers are larger than 16 KiB; send fewer.',
    )
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return tooSlow()
  return new InvalidRequest('The bytes received are not an HTTP/1.1 request; check the client.')
}

/** Admission of the requests whose body came later than their headers. */
export function admitWhenWhole(server: Server, { tenantHeader }: ServerOptions): void {
  server.addHook('preValidation', ({ raw: request }, { raw: response }, done) => {
    if (arrivedAt(request) === undefined || permitOf(request) !== undefined) done()
    else void admitLate(request, response).then(() => done(), done)
  })

  function admitLate(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const job = jobOf(request, response, tenantHeader)
    return new Promise((resolve, reject) => {
      const refuse = (): void => reject(new Overloaded(OVERLOADED))
      // Of callers that hang up in the queue it says nothing.
      response.once('close', refuse)
      if (job.alive())
        server.chassis.limiter.admit({
          ...job,
          refuse,
          run(permit) {
            response.off('close', refuse)
            keep(permit, request, response)
            resolve()
          },
        })
      else refuse()
    })
  }
}

/** A permit covers the handler too: a caller that hangs up does not make room for more work than fits. */
export function holdPermitWhileHandling(server: Server): void {
  server.addHook('onRoute', (route) => {
    const { handler } = route
    route.handler = async function permitted(request, reply) {
      const release = permitOf(request.raw)?.hold()
      try {
        return await handler.call(this, request, reply)
      } finally {
        release?.()
      }
    }
  })
}

export function limiterMetrics({ metrics, limiter }: Chassis): void {
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
