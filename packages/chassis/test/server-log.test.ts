/** What a request leaves behind: its log line, and what it hands down to the adapters. */
import { connect } from 'node:net'
import { RequestLogLine } from '@oms/contracts/log'
import { Check, Errors } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { forwardedHeaders, remainingMs } from '../src/context.ts'
import { eventually } from '../src/testing.ts'
import { type LogLine, startService, TENANT, type TestService } from './service.ts'

const OWN_DEADLINE_MS = 5000

let service: TestService
let release: (() => void) | undefined
/** Requests whose headers were read. */
let begun = 0
const remaining: number[] = []

beforeAll(async () => {
  service = await startService(
    (server) => {
      server.addHook('onRequest', async () => {
        begun++
      })
      server.get('/things/:id', async () => ({ ok: true }))
      server.get('/deadline', async () => ({ ms: remainingMs(), forwarded: forwardedHeaders() }))
      server.post('/deadline', async () => ({ ms: remainingMs(), forwarded: forwardedHeaders() }))
      server.post('/named', async (_request, reply) => {
        reply.header('x-order-id', 'a5f0c9e2-7b1d-4c3a-9e8f-0123456789ab')
        return { ok: true }
      })
      server.get('/wait', async () => {
        remaining.push(remainingMs())
        await new Promise<void>((resolve) => {
          release = resolve
        })
        return { ok: true }
      })
      server.get('/tells', async (request) => {
        request.log.info({ payment_token: 'pm_canary0001', authorization: 'Bearer canary' }, 'told')
        request.log.info({ headers: { authorization: 'Bearer canary' } }, 'told')
        request.log.info({ body: { payment_token: 'pm_canary0001', cookie: 'canary' } }, 'told')
        return { ok: true }
      })
      server.get('/fails', async () => {
        const client = { processID: 1, secretKey: 'canary', password: 'canary' }
        const thrown = {
          detail: 'Failing row contains (acme, pm_canary0001)',
          client,
          code: '23514',
        }
        throw Object.assign(new Error('it failed'), thrown)
      })
    },
    { ownDeadlineMs: OWN_DEADLINE_MS },
  )
})

afterAll(() => service.stop())

const lineOf = async (answer: Response): Promise<LogLine> => {
  const trace = answer.headers.get('x-trace-id')
  return service.requestLine((line) => line['trace_id'] === trace)
}

describe('the log line', () => {
  test('is one a request and has the agreed form', async () => {
    const answer = await service.get('/things/1?secret=query', {
      ...TENANT,
      'x-order-id': 'a5f0c9e2-7b1d-4c3a-9e8f-0123456789ab',
      'x-envoy-attempt-count': '3',
      'x-b3-sampled': '1',
      'x-forwarded-client-cert':
        'By=spiffe://x;Hash=1;URI=spiffe://cluster.local/ns/evil/sa/liar,By=spiffe://y;Hash=2;Subject="O=a,CN=b";URI=spiffe://cluster.local/ns/order-management/sa/order-service',
    })
    const line = await lineOf(answer)
    expect([...Errors(RequestLogLine, line)]).toEqual([])
    expect(Check(RequestLogLine, line)).toBe(true)
    expect(line).toMatchObject({
      service: 'thing-service',
      pod: 'thing-1',
      version: 'test',
      peer: 'spiffe://cluster.local/ns/order-management/sa/order-service',
      method: 'GET',
      path: '/things/1',
      status: 200,
      attempt: 3,
      order_id: 'a5f0c9e2-7b1d-4c3a-9e8f-0123456789ab',
      tenant_id: 'acme',
      sampled: '1',
      aborted: false,
      trace_id: answer.headers.get('x-trace-id'),
      span_id: expect.stringMatching(/^[0-9a-f]{16}$/),
    })
    expect(line['trace_id']).toMatch(/^(?!0+$)[0-9a-f]{32}$/)
    const lines = service.log.filter((text) => text.includes(String(line['trace_id'])))
    expect(lines).toHaveLength(1)
    expect(service.log.join('')).not.toContain('secret=query')
  })

  test('has null where a request says nothing', async () => {
    const line = await lineOf(await service.get('/nowhere', {}))
    expect(Check(RequestLogLine, line)).toBe(true)
    expect(line).toMatchObject({
      status: 404,
      peer: null,
      attempt: null,
      order_id: null,
      tenant_id: null,
      sampled: null,
    })
  })

  test('takes the last certificate of a repeated header, too', async () => {
    const headers = new Headers(TENANT)
    headers.append('x-forwarded-client-cert', 'URI=spiffe://liar')
    headers.append('x-forwarded-client-cert', 'URI=spiffe://peer')
    const line = await lineOf(await fetch(`${service.origin}/things/1`, { headers }))
    expect(line['peer']).toBe('spiffe://peer')
  })

  test('names the order that the answer is about', async () => {
    const line = await lineOf(await service.post('/named', {}))
    expect(line['order_id']).toBe('a5f0c9e2-7b1d-4c3a-9e8f-0123456789ab')
  })

  test.each(['/health', '/ready', '/metrics'])(
    'of %s is written for a mesh peer, and only then',
    async (path) => {
      await (await service.get(path, {})).text()
      await (await service.get(path, { 'x-forwarded-client-cert': 'URI=spiffe://peer' })).text()
      const line = await service.requestLine((each) => each['path'] === path)
      expect(Check(RequestLogLine, line)).toBe(true)
      expect(line).toMatchObject({ peer: 'spiffe://peer', status: 200 })
      expect(service.log.filter((text) => text.includes(`"path":"${path}"`))).toHaveLength(1)
    },
  )

  test('of a caller that hung up says so, once its answer is there', async () => {
    const caller = connect(service.port, '127.0.0.1')
    caller.write('GET /wait HTTP/1.1\r\nhost: x\r\nx-tenant-id: gone\r\n\r\n')
    await eventually('the handler runs', () => release !== undefined)
    await service.hangUp(caller)
    release?.()
    const line = await service.requestLine((each) => each['tenant_id'] === 'gone')
    expect(Check(RequestLogLine, line)).toBe(true)
    expect(line).toMatchObject({ path: '/wait', status: 200, aborted: true })
    await eventually('its measurement', async () => {
      const metrics = await (await service.get('/metrics')).text()
      return /http_server_request_duration_seconds_count\{.*route="\/wait"/.test(metrics)
    })
  })

  test('of a caller that hung up amid its body is there as well', async () => {
    const before = begun
    const caller = connect(service.port, '127.0.0.1')
    caller.write(
      'POST /named HTTP/1.1\r\nhost: x\r\nx-tenant-id: half\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"a":',
    )
    await eventually('its headers were read', () => begun > before)
    await service.hangUp(caller)
    const line = await service.requestLine((each) => each['tenant_id'] === 'half')
    expect(line).toMatchObject({ aborted: true, status: 400 })
  })

  test('is never split or forged by what a caller writes', async () => {
    const before = service.log.length
    const nasty = '%0a%22%7d%0d%0a{"msg":"request","forged":true}'
    await service.get(`/nowhere/${nasty}`, {
      ...TENANT,
      'x-order-id': '"}{"forged":true',
      'x-b3-sampled': '"},"forged":true,"x":"',
      'x-forwarded-client-cert': 'URI=","forged":true,"x":"\\',
      'x-request-id': '"}\\n{"forged":true}',
    })
    await eventually('the line', () => service.log.length > before)
    for (const text of service.log.slice(before)) {
      expect(text.trimEnd()).not.toContain('\n')
      expect(JSON.parse(text)).not.toHaveProperty('forged')
    }
  })

  const PAN = '4111111111111111'
  test.each<[string, string, Record<string, string>]>([
    ['the path', `/fails/${PAN}`, {}],
    ['the path, encoded', `/fails/%34${PAN.slice(1)}`, {}],
    ['the query', `/fails?card=${PAN}`, {}],
    ['the order', '/fails', { 'x-order-id': PAN }],
    ['the request id', '/fails', { 'x-request-id': PAN }],
    ['a request id that is cut', '/fails', { 'x-request-id': `${'x'.repeat(128 - 15)}${PAN}` }],
    ['the sampling decision', '/fails', { 'x-b3-sampled': PAN }],
    ['the attempt', '/fails', { 'x-envoy-attempt-count': PAN }],
    ['the peer', '/fails', { 'x-forwarded-client-cert': `URI=spiffe://${PAN}` }],
    [
      'the browser',
      '/fails',
      { 'user-agent': PAN, referer: PAN, cookie: PAN, baggage: `a=${PAN}` },
    ],
  ])('shows no card number that a caller put into %s', async (_what, path, headers) => {
    const before = service.log.length
    const answer = await service.get(path, { ...TENANT, ...headers })
    await lineOf(answer)
    const written = service.log.slice(before).join('') + (await answer.text())
    // A part of it is too much as well.
    expect(written).not.toContain(PAN.slice(1, 14))
  })

  test('bears no text of any length', async () => {
    const answer = await service.get('/things/1', { ...TENANT, 'x-order-id': 'x'.repeat(9000) })
    expect(await lineOf(answer)).toMatchObject({ order_id: null })
  })
})

test('no log line shows a secret', async () => {
  await service.get('/tells', { ...TENANT, authorization: 'Bearer canary', cookie: 'canary=1' })
  await eventually('the lines', () => service.log.filter((t) => t.includes('told')).length === 3)
  expect(service.log.join('')).not.toContain('canary')
})

test('an error is told by its message, stack and code, not by what a driver hung on it', async () => {
  const before = service.log.length
  await service.get('/fails')
  const line = await eventually('the line', () =>
    service.log.slice(before).find((text) => text.includes('request failed')),
  )
  expect(JSON.parse(line).err).toEqual({
    type: 'Error',
    message: 'it failed',
    stack: expect.stringContaining('server-log.test.ts'),
    code: '23514',
  })
  expect(service.log.slice(before).join('')).not.toContain('canary')
})

describe('an answer', () => {
  test('is stored by nobody and names its trace', async () => {
    const answer = await service.get('/things/1')
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.headers.get('x-trace-id')).toMatch(/^(?!0+$)[0-9a-f]{32}$/)
  })

  test("names the caller's trace where there is one", async () => {
    const trace = '0af7651916cd43dd8448eb211c80319c'
    const w3c = await service.get('/things/1', {
      ...TENANT,
      traceparent: `00-${trace}-b7ad6b7169203331-01`,
    })
    expect(w3c.headers.get('x-trace-id')).toBe(trace)
    const b3 = await service.get('/things/1', {
      ...TENANT,
      traceparent: '00-11111111111111111111111111111111-b7ad6b7169203331-01',
      'x-b3-traceid': trace,
      'x-b3-spanid': 'b7ad6b7169203331',
      'x-b3-sampled': '0',
    })
    // A sidecar rewrites only these.
    expect(b3.headers.get('x-trace-id')).toBe(trace)
  })
})

describe('the deadline', () => {
  const remainingOf = async (headers: Record<string, string>): Promise<number> => {
    const answer = await service.get('/deadline', { ...TENANT, ...headers })
    return ((await answer.json()) as { ms: number }).ms
  }

  test.each([
    ['own cap, where nobody says anything', {}, OWN_DEADLINE_MS],
    ["caller's", { 'x-request-deadline-ms': '900' }, 900],
    ["proxy's", { 'x-envoy-expected-rq-timeout-ms': '800' }, 800],
    [
      "caller's below the proxy's",
      { 'x-request-deadline-ms': '700', 'x-envoy-expected-rq-timeout-ms': '800' },
      700,
    ],
    [
      "proxy's below the caller's",
      { 'x-request-deadline-ms': '900', 'x-envoy-expected-rq-timeout-ms': '600' },
      600,
    ],
    [
      'own cap below both',
      { 'x-request-deadline-ms': '60000', 'x-envoy-expected-rq-timeout-ms': '60000' },
      OWN_DEADLINE_MS,
    ],
    ['own cap, where the header is words', { 'x-request-deadline-ms': 'soon' }, OWN_DEADLINE_MS],
    ['own cap, where it is negative', { 'x-request-deadline-ms': '-5' }, OWN_DEADLINE_MS],
    ['own cap, where it is a fraction', { 'x-request-deadline-ms': '10.5' }, OWN_DEADLINE_MS],
    ['own cap, where it has an exponent', { 'x-request-deadline-ms': '1e1' }, OWN_DEADLINE_MS],
    ['own cap, where it is a list', { 'x-request-deadline-ms': '10, 20' }, OWN_DEADLINE_MS],
    ['own cap, where it is empty', { 'x-request-deadline-ms': '' }, OWN_DEADLINE_MS],
  ])('is the %s', async (_what, headers, expected) => {
    const ms = await remainingOf(headers as unknown as Record<string, string>)
    expect(ms).toBeLessThanOrEqual(expected)
    expect(ms).toBeGreaterThan(expected - 250)
  })

  test('reaches the handler of a request whose body comes in a later packet', async () => {
    const before = begun
    const socket = connect(service.port, '127.0.0.1')
    const answer = new Promise<string>((resolve) =>
      socket.on('data', (data) => resolve(String(data))),
    )
    socket.write(
      'POST /deadline HTTP/1.1\r\nhost: x\r\nx-tenant-id: acme\r\nx-request-id: later\r\nx-request-deadline-ms: 900\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n',
    )
    await eventually('its headers were read', () => begun > before)
    socket.write('{}')
    const body = JSON.parse((await answer).split('\r\n\r\n')[1] ?? '')
    socket.destroy()
    expect(body.ms).toBeLessThanOrEqual(900)
    expect(body.forwarded).toEqual({ 'x-request-id': 'later' })
  })

  test.each(['0', '1', '49'])('below 50 ms is refused before anything runs: %s', async (ms) => {
    const before = remaining.length
    const answer = await service.get('/wait', { ...TENANT, 'x-request-deadline-ms': ms })
    expect(answer.status).toBe(429)
    expect(await answer.json()).toMatchObject({
      type: 'https://oms.example/problems/deadline-too-short',
      outcome: 'not_executed',
      retryable: true,
    })
    expect(answer.headers.get('retry-after')).toBe('1')
    expect(answer.headers.get('x-envoy-ratelimited')).toBe('1')
    expect(remaining).toHaveLength(before)
  })
})

test('of the headers only those to pass on are passed on, unchanged', async () => {
  const answer = await service.get('/deadline', {
    ...TENANT,
    'x-request-id': 'r-1',
    'x-other': 'no',
    b3: '0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1',
  })
  expect(((await answer.json()) as { forwarded: unknown }).forwarded).toEqual({
    'x-request-id': 'r-1',
  })
})
