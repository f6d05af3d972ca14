/**
 * Faults of the application, for proofs and fault loads: preloaded by NODE_OPTIONS=--import, it stands before the
 * application's HTTP server and obeys `x-oms-fault`, or the file APP_FAULTS_DEFAULT where a request has no such header.
 * The product knows nothing of it.
 *
 * A fault is `name=value` pairs with `;` between them, decided by the request alone, but for `share`:
 *   status=503        answered here, the application sees nothing (with `delay`, after it)
 *   attempts=1-3      only these tries, by x-envoy-attempt-count; one number stands for itself
 *   delay=3000        milliseconds before anything else happens
 *   late=12000        the application does its work at once, its answer is held back for so many milliseconds
 *   trickle=15000     200 at once, then its body for so many milliseconds
 *   drop=before       the connection is cut, the application sees nothing
 *   drop=after        the application does its work and writes its log line, its answer is cut off
 *   exit=137          the program ends at once, with every request that it has
 *   pod=NAME          only in this pod
 *   service=NAME      only in this service
 *   share=30          only so many of a hundred requests, by chance
 *
 * The file may have several lines: the first that applies is obeyed.
 */
import { readFileSync } from 'node:fs'
import { Server } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'

const { APP_FAULTS_DEFAULT, SERVICE_NAME, POD_NAME, APP_VERSION } = process.env
/** Probes and scrapes are never hit by the default: a pod that is not ready takes no request at all. */
const SPARED = new Set(['/health', '/ready', '/metrics'])
/** Milliseconds between two bytes of a trickle. */
const TRICKLE_STEP = 100

const FORMS = {
  status: /^[2-5]\d\d$/,
  attempts: /^\d{1,3}(-\d{1,3})?$/,
  delay: /^\d{1,6}$/,
  late: /^\d{1,6}$/,
  trickle: /^\d{1,6}$/,
  drop: /^(before|after)$/,
  exit: /^\d{1,3}$/,
  pod: /^[a-z0-9.-]+$/,
  service: /^[a-z0-9-]+$/,
  share: /^\d{1,2}$/,
}

const ARRIVED = Symbol('arrived')
const emit = Server.prototype.emit
Server.prototype.emit = function (event, ...args) {
  if (event !== 'request') return emit.call(this, event, ...args)
  const [request, response] = args
  const handle = () => emit.call(this, 'request', request, response)
  request[ARRIVED] = performance.now()
  let fault
  try {
    fault = faultOf(request)
  } catch (error) {
    answer(request, response, 400, `${error.message}\n`)
    return true
  }
  if (fault === undefined) return handle()
  void commit(fault, request, response, handle)
  return true
}

async function commit(fault, request, response, handle) {
  if (fault.delay !== undefined) await pause(Number(fault.delay))
  if (fault.exit !== undefined) process.exit(Number(fault.exit))
  if (fault.drop === 'before') {
    request.socket.destroy()
    tell(request, response, 0)
  } else if (fault.status !== undefined) {
    answer(request, response, Number(fault.status), 'a fault, as asked for\n')
  } else if (fault.trickle !== undefined) {
    await trickle(Number(fault.trickle), request, response)
  } else {
    // Whoever hung up during the delay did so before the application could hear of it.
    if (response.destroyed) {
      tell(request, response, 0)
      return
    }
    if (fault.drop === 'after') cutInPlaceOfAnswer(request, response)
    if (fault.late !== undefined) holdBack(Number(fault.late), response)
    handle()
  }
}

/** @returns the fault that applies, or undefined. @throws Error that says what is wrong with its text. */
function faultOf(request) {
  const text = request.headers['x-oms-fault'] ?? defaultFor(request)
  if (text === undefined || text === '') return undefined
  return text
    .split('\n')
    .map(parse)
    .find((fault) => applies(fault, request))
}

function parse(text) {
  const fault = {}
  for (const pair of text.split(';')) {
    const [name, value = ''] = pair.trim().split('=')
    if (FORMS[name] === undefined || !FORMS[name].test(value))
      throw new Error(
        `x-oms-fault: "${pair}" is none of ${Object.keys(FORMS).join(', ')}, or its value has another form.`,
      )
    fault[name] = value
  }
  return fault
}

function applies({ attempts, pod, service, share }, request) {
  if (pod !== undefined && pod !== POD_NAME) return false
  if (service !== undefined && service !== SERVICE_NAME) return false
  if (share !== undefined && Math.random() * 100 >= Number(share)) return false
  if (attempts === undefined) return true
  const [first, last = first] = attempts.split('-').map(Number)
  const attempt = Number(request.headers['x-envoy-attempt-count'] ?? 1)
  return attempt >= first && attempt <= last
}

/** Read anew for every request: the file may change, and a fault run is no benchmark. */
function defaultFor(request) {
  if (SPARED.has(request.url.split('?')[0])) return undefined
  try {
    return readFileSync(APP_FAULTS_DEFAULT, 'utf8').trim()
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

function answer(request, response, status, body) {
  response.writeHead(status, { 'content-type': 'text/plain' }).end(body)
  tell(request, response, status)
}

async function trickle(forMs, request, response) {
  const startedAt = performance.now()
  response.writeHead(200, { 'content-type': 'text/plain' })
  while (performance.now() - startedAt < forMs && !response.destroyed) {
    response.write('.')
    await pause(TRICKLE_STEP)
  }
  response.end()
  tell(request, response, 200)
}

function cutInPlaceOfAnswer(request, response) {
  response.writeHead =
    response.write =
    response.end =
      () => {
        request.socket.destroy()
        return response
      }
}

/** Timers of one length fire in the order in which they were set. */
function holdBack(ms, response) {
  for (const name of ['writeHead', 'write', 'end']) {
    const original = response[name]
    response[name] = (...args) => {
      setTimeout(() => original.apply(response, args), ms)
      return response
    }
  }
}

/** The request log line that the application would have written: @oms/contracts, log.ts. */
function tell(request, response, status) {
  const { headers } = request
  const said = (name) => headers[name] ?? null
  const certificate = String(headers['x-forwarded-client-cert'] ?? '')
    .split(',')
    .at(-1)
  const line = {
    level: 30,
    time: Date.now(),
    service: SERVICE_NAME,
    pod: POD_NAME,
    version: APP_VERSION,
    peer: /(?:^|;)URI=([^;]*)/.exec(certificate.trim())?.[1] ?? null,
    method: request.method,
    path: request.url.split('?')[0],
    status,
    attempt: said('x-envoy-attempt-count') === null ? null : Number(said('x-envoy-attempt-count')),
    order_id: said('x-order-id'),
    tenant_id: said('x-tenant-id'),
    sampled: said('x-b3-sampled'),
    trace_id: said('x-b3-traceid'),
    span_id: said('x-b3-spanid'),
    duration_ms: Math.round(performance.now() - request[ARRIVED]),
    aborted: response.destroyed || request.socket.destroyed,
    msg: 'request',
  }
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
