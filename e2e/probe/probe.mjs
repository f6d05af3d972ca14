/**
 * A pod that asks and answers, for proofs: `node probe.mjs` serves on port 8080 and writes a request log line as the
 * services do; `node probe.mjs session` takes jobs from its standard input, a JSON line each, and answers with a line.
 *
 *   { id, calls: [Call], workers?: n, everyMs?: n, rampMs?: n, connections?: name }   → { id, answers: [Answer] }
 *   { id, dial: { host, port, hello?: base64, tls?: {…} } }       → { id, answer: { connected, bytes, text, error? } }
 *
 * A Call: { url, method?, headers?: {name: value | [values]}, body?, timeoutMs?, abortAfterMs?, repeat?: n, insecure?,
 * servername?, fresh?, textLimit?: bytes }. An Answer: { status, ms, at, text, headers, error?, certificate? }.
 */
import { createServer, Agent as HttpAgent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'

const TEXT_LIMIT = 16_384

/** Connections that several jobs use: { name, agents }. */
let kept

if (process.argv.includes('session')) await session()
else {
  serve()
  if (process.env.CALL_AT_START !== undefined)
    await callAtStart(JSON.parse(process.env.CALL_AT_START))
}

function serve() {
  const server = createServer((request, response) => {
    const at = performance.now()
    request.resume()
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ headers: request.headers }))
    })
    response.on('close', () => tell(request, response, at))
  })
  server.listen(8080)
  process.on('SIGTERM', () => process.exit(0))
}

/** The first thing that this process does: nothing waits for a proxy, nothing is tried again. */
async function callAtStart(call) {
  const { status, error } = await ask({ ...call, fresh: true }, {})
  process.stdout.write(`${JSON.stringify({ msg: 'called at start', status, error })}\n`)
}

/** As @oms/contracts, log.ts has it. */
function tell(request, response, at) {
  const said = (name) => request.headers[name] ?? null
  const last = String(said('x-forwarded-client-cert') ?? '')
    .split(',')
    .at(-1)
  const attempt = said('x-envoy-attempt-count')
  const line = {
    level: 30,
    time: Date.now(),
    service: 'probe',
    pod: process.env.POD_NAME,
    version: 'probe',
    peer: /(?:^|;)URI=([^;]*)/.exec(last.trim())?.[1] ?? null,
    method: request.method,
    path: request.url.split('?')[0],
    status: response.statusCode,
    attempt: attempt === null ? null : Number(attempt),
    order_id: said('x-order-id'),
    tenant_id: said('x-tenant-id'),
    sampled: said('x-b3-sampled'),
    trace_id: said('x-b3-traceid'),
    span_id: said('x-b3-spanid'),
    duration_ms: Math.round(performance.now() - at),
    aborted: !response.writableFinished,
    msg: 'request',
  }
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

async function session() {
  for await (const line of createInterface({ input: process.stdin })) {
    const job = JSON.parse(line)
    // Jobs run side by side: a proof may ask while another call of its own is under way.
    void answered(job).then((answer) =>
      process.stdout.write(`${JSON.stringify({ id: job.id, ...answer })}\n`),
    )
  }
}

async function answered(job) {
  if (job.dial !== undefined) return { answer: await dialled(job.dial) }
  if (job.connections !== undefined)
    return { answers: await calls(job, keptAgents(job.connections)) }
  const agents = newAgents()
  const answers = await calls(job, agents)
  close(agents)
  return { answers }
}

/** Connections of its own: a proxy obeys what it was told lately on new connections only. */
function newAgents() {
  return {
    'http:': new HttpAgent({ keepAlive: true, maxSockets: 512 }),
    'https:': new HttpsAgent({ keepAlive: true, maxSockets: 512 }),
  }
}

/** Those of the last job that gave this name; of another one they are closed. */
function keptAgents(name) {
  if (kept?.name !== name) {
    if (kept !== undefined) close(kept.agents)
    kept = { name, agents: newAgents() }
  }
  return kept.agents
}

function close(agents) {
  for (const agent of Object.values(agents)) agent.destroy()
}

async function calls({ calls: wanted, workers = 1, everyMs, rampMs = 0 }, agents) {
  const all = wanted.flatMap((call) => Array.from({ length: call.repeat ?? 1 }, () => call))
  const answers = new Array(all.length)
  const one = async (at) => {
    answers[at] = await ask(all[at], agents)
  }
  if (everyMs !== undefined) {
    const startedAt = performance.now()
    const open = []
    for (let at = 0; at < all.length; at++) {
      const early = startedAt + at * everyMs - performance.now()
      if (early > 0) await pause(early)
      open.push(one(at))
    }
    await Promise.all(open)
    return answers
  }
  let next = 0
  const work = async (worker) => {
    if (rampMs > 0) await pause((worker * rampMs) / workers)
    while (next < all.length) await one(next++)
  }
  await Promise.all(Array.from({ length: Math.min(workers, all.length) }, (_, n) => work(n)))
  return answers
}

function ask(call, agents) {
  const { url, method = 'GET', headers = {}, body, timeoutMs = 20_000, abortAfterMs } = call
  const { textLimit = TEXT_LIMIT } = call
  const at = performance.now()
  const ms = () => Math.round((performance.now() - at) * 10) / 10
  return new Promise((resolve) => {
    const target = new URL(url)
    const send = target.protocol === 'https:' ? httpsRequest : httpRequest
    const asking = send(
      target,
      {
        method,
        agent: call.fresh ? false : agents[target.protocol],
        ...(call.servername === undefined ? {} : { servername: call.servername }),
        ...(call.insecure ? { rejectUnauthorized: false } : {}),
        headers: {
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
      },
      (answer) => {
        let text = ''
        let size = 0
        const peer = answer.socket?.getPeerCertificate?.()
        answer.setEncoding('utf8')
        answer.on('data', (chunk) => {
          size += chunk.length
          if (text.length < textLimit) text += chunk
        })
        const end = (error) =>
          resolve({
            status: answer.statusCode,
            ms: ms(),
            text: text.slice(0, textLimit),
            size,
            headers: answer.headers,
            ...(peer?.fingerprint256 === undefined ? {} : { certificate: peer.fingerprint256 }),
            ...(error === undefined ? {} : { error }),
          })
        answer.on('error', (error) => end(error.code ?? error.message))
        answer.on('end', () => end())
      },
    )
    const timer = setTimeout(() => asking.destroy(new Error('timeout')), timeoutMs)
    const abort =
      abortAfterMs === undefined
        ? undefined
        : setTimeout(() => asking.destroy(new Error('aborted')), abortAfterMs)
    asking.on('close', () => {
      clearTimeout(timer)
      clearTimeout(abort)
    })
    asking.on('error', (error) =>
      resolve({
        status: 0,
        ms: ms(),
        text: '',
        size: 0,
        headers: {},
        error: error.code ?? error.message,
      }),
    )
    asking.end(
      body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
    )
  })
}

function dialled({ host, port, hello, timeoutMs = 5000 }) {
  return new Promise((resolve) => {
    let connected = false
    let bytes = 0
    let text = ''
    let error
    const socket = connect(port, host)
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error('timeout')))
    socket.on('connect', () => {
      connected = true
      if (hello !== undefined) socket.write(Buffer.from(hello, 'base64'))
    })
    socket.on('data', (chunk) => {
      bytes += chunk.length
      text += chunk.toString('latin1').slice(0, 200)
      socket.destroy()
    })
    socket.on('error', (cause) => {
      error = cause.code ?? cause.message
    })
    socket.on('close', () =>
      resolve({ connected, bytes, text, ...(error === undefined ? {} : { error }) }),
    )
  })
}
