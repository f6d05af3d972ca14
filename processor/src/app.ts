/** The card processor on one page: ledger, processing, server, routes. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyServerOptions,
  LogController,
} from 'fastify'
import openapi from '../openapi.json' with { type: 'json' }
import type { Tls } from './config.ts'
import { type LedgerOptions, openLedger, type Page, type Shelf } from './ledger.ts'
import { createProcessing, type Outcome } from './processing.ts'
import {
  type Charge,
  ChargeRequest,
  Id,
  KeyHeaders,
  ListQuery,
  type Refund,
  RefundRequest,
  Refusal,
} from './wire.ts'

/** 64 KiB: a request needs less than one. */
const BODY_LIMIT_BYTES = 65_536
/** 10 s to send a request; a slow answer does not count. */
const REQUEST_TIMEOUT_MS = 10_000
/** 72 s: longer than a client keeps an idle connection, so that none is closed under a request. */
const KEEP_ALIVE_MS = 72_000
/** 2 s for requests under way to arrive and be answered; then the connections are cut. */
const STOP_WITHIN_MS = 2000
/** Objects on a page when `limit` says nothing. */
const PAGE_SIZE = 100

export interface ProcessorOptions extends LedgerOptions {
  /** How long a pm_slow charge takes. */
  readonly slowMs: number
  readonly tls?: Tls | undefined
  readonly logger?: FastifyServerOptions['logger']
}

type Server = FastifyInstance<
  HttpsServer,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

export interface Processor {
  readonly server: Server
  /** The orderly stop: what is under way is finished, slow charges at once. */
  close(): Promise<void>
}

/** @throws StartError the ledger cannot be opened; see `openJournal`. */
export async function buildProcessor(options: ProcessorOptions): Promise<Processor> {
  const ledger = await openLedger(options)
  const processing = createProcessing(ledger, options)
  const server = createServer(options)
  if (ledger.tornBytes > 0)
    server.log.warn(
      { bytes: ledger.tornBytes },
      'cut a torn last line off the ledger; it was never acknowledged',
    )

  let stopping = false
  // Fastify says so only to requests that arrive later; what is under way would keep its connection open.
  server.addHook('onSend', async (_request, reply) => {
    if (stopping) reply.header('connection', 'close')
  })

  server.get('/health', (_request, reply) => {
    const failure = ledger.failure()
    if (failure !== undefined) throw new Refusal(503, 'ledger_unavailable', failure.message)
    return reply.send({ status: 'ok' })
  })
  server.get('/openapi.json', () => openapi)

  server.post(
    '/v1/charges',
    { schema: { headers: KeyHeaders, body: ChargeRequest } },
    async (request, reply) =>
      answer(reply, await processing.charge(request.headers['idempotency-key'], request.body)),
  )
  server.post(
    '/v1/refunds',
    { schema: { headers: KeyHeaders, body: RefundRequest } },
    async (request, reply) =>
      answer(reply, await processing.refund(request.headers['idempotency-key'], request.body)),
  )
  readRoutes(server, '/v1/charges', ledger.charges)
  readRoutes(server, '/v1/refunds', ledger.refunds)

  async function close(): Promise<void> {
    stopping = true
    const cut = setTimeout(() => server.server.closeAllConnections(), STOP_WITHIN_MS)
    await Promise.all([server.close(), processing.finish()])
    clearTimeout(cut)
    await processing.finish()
    await ledger.close()
  }

  return { server, close }
}

function createServer({ tls, logger = false }: ProcessorOptions): Server {
  const server = Fastify({
    https: tls ?? null,
    logger,
    logController: new LogController({ disableRequestLogging: true }),
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    exposeHeadRoutes: false,
  }).withTypeProvider<TypeBoxTypeProvider>()
  server.removeContentTypeParser('text/plain')

  server.setNotFoundHandler(() => {
    throw new Refusal(404, 'not_found', 'There is no such resource; see /openapi.json.')
  })
  server.setErrorHandler((error: FastifyError, request, reply) => {
    const { status, code, message } = toRefusal(error)
    if (status >= 500 && code !== 'processor_error')
      request.log.error({ err: error }, 'request failed')
    return reply.code(status).send({ error: { code, message } })
  })
  server.addHook('onResponse', async (request, reply) => {
    if (request.url === '/health') return
    request.log.info(
      {
        method: request.method,
        route: request.routeOptions.url ?? 'unmatched',
        status: reply.statusCode,
        duration_ms: Math.round(reply.elapsedTime),
        remote: request.ip,
        sni: serverNameOf(request.raw.socket),
        // What a proxy knows of the calls inside of its mesh is none of a third party's business.
        forwarded_client_cert: request.headers['x-forwarded-client-cert'] !== undefined,
        forwarded_attempt_count: request.headers['x-envoy-attempt-count'] !== undefined,
      },
      'request',
    )
  })
  return server
}

/** What the client called this server in its TLS greeting; null without TLS or a name. */
function serverNameOf(socket: Socket | TLSSocket): string | null {
  return ('servername' in socket && socket.servername) || null
}

/** GET by id, by merchant reference (all of them), or the whole ledger page by page. */
function readRoutes(
  server: Server,
  path: '/v1/charges' | '/v1/refunds',
  shelf: Shelf<Charge> | Shelf<Refund>,
): void {
  server.get(path, { schema: { querystring: ListQuery } }, ({ query }) => list(shelf, query))
  server.get(`${path}/:id`, { schema: { params: Id } }, ({ params: { id } }) => {
    const object = shelf.get(id)
    if (object === undefined) throw new Refusal(404, 'not_found', `There is no ${path}/${id}.`)
    return object
  })
}

function list(
  shelf: Shelf<Charge> | Shelf<Refund>,
  { merchant_reference: reference, limit, after }: ListQuery,
): Page<Charge | Refund> | { readonly data: readonly (Charge | Refund)[] } {
  if (reference !== undefined) {
    if (limit === undefined && after === undefined) return { data: shelf.byReference(reference) }
    throw new Refusal(
      400,
      'invalid_request',
      'limit and after page through the whole ledger; a merchant_reference is answered at once, without them.',
    )
  }
  const page = shelf.page(limit === undefined ? PAGE_SIZE : Number(limit), after)
  if (page === undefined)
    throw new Refusal(400, 'invalid_request', `There is no object ${after} to go on after.`)
  return page
}

function answer(reply: FastifyReply, { object, replayed, cut }: Outcome): FastifyReply {
  if (cut) {
    reply.log.info({ id: object.id }, 'connection cut without an answer, as the token asks')
    reply.hijack()
    reply.raw.destroy()
    return reply
  }
  if (replayed) reply.header('idempotent-replayed', 'true')
  return reply.send(object)
}

function toRefusal(error: FastifyError | Refusal): Pick<Refusal, 'status' | 'code' | 'message'> {
  if (error instanceof Refusal) return error
  const { statusCode: status = 500 } = error
  if (error.validation !== undefined || (status >= 400 && status < 500))
    return { status, code: 'invalid_request', message: complaint(error) }
  return {
    status: 500,
    code: 'processor_error',
    message: 'Something failed here; repeat the request.',
  }
}

/** Names the member, never its value: it may be a token. */
function complaint({ validation, validationContext: where, message }: FastifyError): string {
  const [first] = validation ?? []
  if (first === undefined) return `${message.replace(/\.$/, '')}; see /openapi.json.`
  if (where === 'headers')
    return 'Send the header Idempotency-Key once, 1 to 255 visible ASCII characters without spaces.'
  const extra = first.params['additionalProperty']
  const name = typeof extra === 'string' ? ` (${extra.slice(0, 64)})` : ''
  return `${where}${first.instancePath} ${first.message}${name}; see /openapi.json.`
}
