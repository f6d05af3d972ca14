/**
 * One upstream over HTTP: a pool, the request's deadline, trace and forwarded headers, a CLIENT span, a cap on the
 * body, problems back into their class. Never a retry: those live in the mesh (docs/decisions/0003).
 */
import { decodeProblem, type ProblemClass } from '@oms/problem/problem'
import { SpanStatusCode } from '@opentelemetry/api'
import type { TSchema } from 'typebox'
import { type Dispatcher, Pool } from 'undici'
import { forwardedHeaders, RETURN_TRIP_MS, remainingMs } from './context.ts'
import { conforms } from './late-schemas.ts'
import type { Server } from './server.ts'
import { clientSpan, traceHeaders } from './telemetry.ts'

/** 256 KiB: no answer of ours comes near. */
const MAX_BODY_BYTES = 262_144
/** 12 s, a backstop: undici's timers are coarse, the deadline is a timer of ours. */
const BACKSTOP_MS = 12_000

/** The upstream gave no answer that counts: what it did is not known. */
export class NoAnswer extends Error {}

export interface HttpClientOptions {
  /** Name in spans. */
  readonly name: string
  readonly origin: string
  /** Header that carries the remaining ms; none for third parties. */
  readonly deadlineHeader?: string
  /** Milliseconds of the own deadline to keep for what follows a timeout; 50, the way back, by default. */
  readonly reserveMs?: number
  /** False for third parties: they get no headers of ours. */
  readonly forward?: boolean
}

export interface ClientRequest {
  readonly method: 'GET' | 'POST'
  readonly path: string
  /** Low-cardinality name of the path, for the span. */
  readonly route: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: object
  /** Milliseconds, below what is left of the request's own deadline. */
  readonly timeoutMs?: number
  /** What a success looks like, by status. */
  readonly answers: Readonly<Record<number, TSchema>>
  /** Refusals that have a meaning here. */
  readonly problems?: readonly ProblemClass[]
}

export interface ClientAnswer {
  readonly status: number
  readonly body: unknown
}

export interface HttpClient {
  /**
   * Sends once.
   * @returns a listed status whose body conforms.
   * @throws the problem, decoded, if it is one of `problems`.
   * @throws NoAnswer everything else: timeout, reset, other status, other body, too large.
   */
  send(request: ClientRequest): Promise<ClientAnswer>
}

export function createHttpClient(
  server: Server,
  { name, origin, deadlineHeader, reserveMs = RETURN_TRIP_MS, forward = true }: HttpClientOptions,
): HttpClient {
  const pool = new Pool(origin, {
    connections: 16,
    pipelining: 1,
    keepAliveTimeout: 30_000,
    headersTimeout: BACKSTOP_MS,
    bodyTimeout: BACKSTOP_MS,
  })
  server.chassis.closers.push(() => pool.destroy())

  async function send(request: ClientRequest): Promise<ClientAnswer> {
    const attributes = { 'http.request.method': request.method, 'server.address': name }
    return clientSpan(`${request.method} ${request.route}`, attributes, async (span) => {
      const timeoutMs = Math.floor(
        Math.min(
          request.timeoutMs ?? Number.POSITIVE_INFINITY,
          remainingMs() - reserveMs,
          BACKSTOP_MS,
        ),
      )
      if (timeoutMs <= 0) throw new NoAnswer(`${name}: no time left to ask`)
      const { status, text } = await exchange(request, timeoutMs)
      span.setAttribute('http.response.status_code', status)
      if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
      return understand(request, status, text)
    })
  }

  /**
   * By `dispatch`, not by `request` with a signal: a stream, a signal and, when that is aborted long after the answer,
   * an exception with its stack would cost a tenth of what an order costs its service.
   */
  function exchange(
    request: ClientRequest,
    timeoutMs: number,
  ): Promise<{ readonly status: number; readonly text: string }> {
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = []
      let size = 0
      let status = 0
      let connection: Dispatcher.DispatchController | undefined
      let given: NoAnswer | undefined

      function giveUp(error: NoAnswer): void {
        clearTimeout(timer)
        given ??= error
        reject(given)
        connection?.abort(given)
      }
      function noAnswer(cause?: Error): NoAnswer {
        return new NoAnswer(`${name}: no answer to ${request.method} ${request.route}`, { cause })
      }
      const timer = setTimeout(() => giveUp(noAnswer()), timeoutMs)

      pool.dispatch(
        {
          method: request.method,
          path: request.path,
          headers: headersOf(request, timeoutMs),
          body: request.body === undefined ? null : JSON.stringify(request.body),
        },
        {
          onRequestStart(controller) {
            connection = controller
            // It waited for a connection until its time was over.
            if (given !== undefined) controller.abort(given)
          },
          onResponseStart(_controller, statusCode) {
            status = statusCode
          },
          onResponseData(_controller, chunk) {
            size += chunk.length
            if (size <= MAX_BODY_BYTES) chunks.push(chunk)
            else giveUp(new NoAnswer(`${name}: the answer is larger than 256 KiB`))
          },
          onResponseEnd() {
            clearTimeout(timer)
            resolve({ status, text: Buffer.concat(chunks).toString('utf8') })
          },
          onResponseError: (_controller, cause) => giveUp(noAnswer(cause)),
        },
      )
    })
  }

  function headersOf(request: ClientRequest, timeoutMs: number): Record<string, string> {
    return {
      accept: 'application/json',
      ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(forward ? forwardedHeaders() : {}),
      ...(deadlineHeader === undefined ? {} : { [deadlineHeader]: String(timeoutMs) }),
      ...(forward ? traceHeaders() : {}),
      ...request.headers,
    }
  }

  async function understand(
    request: ClientRequest,
    status: number,
    text: string,
  ): Promise<ClientAnswer> {
    const body = parse(text)
    const problem = decodeProblem(status, body, request.problems ?? [])
    if (problem !== undefined) throw problem
    const schema = request.answers[status]
    if (schema === undefined || !(await conforms(schema, body)))
      throw new NoAnswer(
        `${name}: ${request.method} ${request.route} answered ${status}, not as agreed`,
      )
    return { status, body }
  }

  return { send }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
