import { Busy, NotFound } from '@oms/problem/http-problems'
import { problemBody } from '@oms/problem/problem'
import { Type } from 'typebox'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { underDeadline } from '../src/context.ts'
import {
  type ClientRequest,
  createHttpClient,
  type HttpClient,
  NoAnswer,
} from '../src/http-client.ts'
import { createUpstream, json, type Upstream } from '../src/testing.ts'
import { startService, TENANT, type TestService } from './service.ts'

let upstream: Upstream
let service: TestService
let ours: HttpClient
let theirs: HttpClient

const Thing = Type.Object({ id: Type.String() })

const request: ClientRequest = {
  method: 'POST',
  path: '/api/things/1',
  route: '/api/things/:id',
  body: { a: 1 },
  timeoutMs: 400,
  answers: { 200: Thing },
  problems: [NotFound, Busy],
}

beforeAll(async () => {
  upstream = await createUpstream()
  service = await startService((server) => {
    ours = createHttpClient(server, {
      name: 'things',
      origin: upstream.origin,
      deadlineHeader: 'x-request-deadline-ms',
    })
    theirs = createHttpClient(server, { name: 'third', origin: upstream.origin, forward: false })
    server.get('/ours', async () => (await ours.send(request)).body)
    server.get('/patient', async () => {
      const { timeoutMs: _, ...patient } = request
      return (await ours.send(patient)).body
    })
    server.get('/theirs', async () => (await theirs.send(request)).body)
  })
})

afterAll(async () => {
  await service.stop()
  await upstream.close()
})

beforeEach(() => {
  upstream.received.length = 0
  upstream.answer((_request, response) => json(response, 200, { id: '1' }))
})

describe('an answer', () => {
  test('as agreed is given as it came', async () => {
    expect(await ours.send(request)).toEqual({ status: 200, body: { id: '1' } })
    expect(upstream.received).toMatchObject([
      { method: 'POST', path: '/api/things/1', body: { a: 1 } },
    ])
  })

  test('with more members than agreed is as agreed: the next version may say more', async () => {
    upstream.answer((_request, response) => json(response, 200, { id: '1', more: true }))
    await expect(ours.send(request)).resolves.toMatchObject({ status: 200 })
  })

  test('that is a known problem is thrown as its class', async () => {
    const thrown = new NotFound('There is none.', { order_id: 'x' })
    upstream.answer((_request, response) => {
      response.writeHead(404, { 'content-type': 'application/problem+json' })
      response.end(JSON.stringify(problemBody(thrown, '/api/things/1')))
    })
    const error = await ours.send(request).catch((each: unknown) => each)
    expect(error).toBeInstanceOf(NotFound)
    expect(error).toMatchObject({ message: 'There is none.', members: { order_id: 'x' } })
  })
})

const problem = (status: number, slug: string) => ({
  type: `https://oms.example/problems/${slug}`,
  status,
  detail: 'x',
})

describe('no answer that counts, and no second try, is', () => {
  test.each<[string, Parameters<Upstream['answer']>[0]]>([
    ['a 503', (_request, response) => json(response, 503, problem(503, 'unavailable'))],
    ['a 429', (_request, response) => json(response, 429, problem(429, 'overloaded'))],
    ['a 500', (_request, response) => json(response, 500, {})],
    ['another success', (_request, response) => json(response, 201, { id: '1' })],
    ['an unknown problem', (_request, response) => json(response, 404, problem(404, 'other'))],
    [
      "a known problem's type under another status",
      (_request, response) => json(response, 409, problem(404, 'not-found')),
    ],
    ['a 404 that is no problem', (_request, response) => json(response, 404, { error: 'no' })],
    ['another body', (_request, response) => json(response, 200, { id: 1 })],
    ['an empty body', (_request, response) => void response.writeHead(200).end()],
    [
      'HTML',
      (_request, response) =>
        void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>{"id":"1"}'),
    ],
    [
      'half an answer',
      (_request, response) => {
        response.writeHead(200, { 'content-length': 100 })
        response.write('{"id":')
        response.socket?.destroySoon()
      },
    ],
    ['a connection that is reset', (_request, response) => void response.socket?.resetAndDestroy()],
    ['a connection that is closed', (_request, response) => void response.socket?.destroy()],
    ['silence', () => undefined],
    ['headers, then silence', (_request, response) => void response.writeHead(200).write('{"id":')],
    [
      '10 MB',
      (_request, response) =>
        void response.writeHead(200).end(`{"id":"${'x'.repeat(10_000_000)}"}`),
    ],
    [
      'one byte above 256 KiB',
      (_request, response) =>
        void response.writeHead(200).end(`{"id":"${'x'.repeat(262_145 - 9)}"}`),
    ],
    [
      'a redirect',
      (_request, response) =>
        void response.writeHead(307, { location: `${upstream.origin}/elsewhere` }).end(),
    ],
  ])('%s', async (_what, handler) => {
    upstream.answer(handler)
    await expect(ours.send(request)).rejects.toBeInstanceOf(NoAnswer)
    expect(upstream.received).toHaveLength(1)
    // The next caller is served: nothing of the last answer is left in the pool.
    upstream.answer((_request, response) => json(response, 200, { id: '2' }))
    expect((await ours.send(request)).body).toEqual({ id: '2' })
  })

  test('an upstream that nobody listens on', async () => {
    const gone = await createUpstream()
    await gone.close()
    const client = createHttpClient(service.server, { name: 'gone', origin: gone.origin })
    await expect(client.send(request)).rejects.toBeInstanceOf(NoAnswer)
  })

  test('one after its time, which is kept', async () => {
    upstream.answer(() => undefined)
    const started = performance.now()
    await expect(ours.send({ ...request, timeoutMs: 150 })).rejects.toBeInstanceOf(NoAnswer)
    const took = performance.now() - started
    expect(took).toBeGreaterThanOrEqual(140)
    expect(took).toBeLessThan(600)
  })
})

describe('a body of 256 KiB', () => {
  test('is taken', async () => {
    const id = 'x'.repeat(262_144 - 9)
    upstream.answer((_request, response) => void response.writeHead(200).end(`{"id":"${id}"}`))
    await expect(ours.send(request)).resolves.toMatchObject({ status: 200 })
  })
})

describe('of the request being served', () => {
  const TRACE = '0af7651916cd43dd8448eb211c80319c'

  const headersAt = async (path: string, headers: Record<string, string>) => {
    await service.get(path, { ...TENANT, ...headers })
    return upstream.received[0]?.headers ?? {}
  }

  test('what remains of its deadline, less the way back, goes along', async () => {
    const sent = await headersAt('/patient', { 'x-request-deadline-ms': '900' })
    const ms = Number(sent['x-request-deadline-ms'])
    expect(ms).toBeLessThanOrEqual(850)
    expect(ms).toBeGreaterThan(600)
  })

  test('the own limit goes along where it is less', async () => {
    const sent = await headersAt('/ours', { 'x-request-deadline-ms': '2000' })
    expect(sent['x-request-deadline-ms']).toBe('400')
  })

  test('a deadline that leaves nothing sends nothing', async () => {
    const client = createHttpClient(service.server, {
      name: 'things',
      origin: upstream.origin,
      reserveMs: 60_000,
    })
    await expect(underDeadline(1000, () => client.send(request))).rejects.toBeInstanceOf(NoAnswer)
    expect(upstream.received).toHaveLength(0)
  })

  test('trace and request id go along: both forms of one trace, never a single b3', async () => {
    const sent = await headersAt('/ours', {
      'x-request-id': 'r-1',
      'x-b3-traceid': TRACE,
      'x-b3-spanid': 'b7ad6b7169203331',
      'x-b3-sampled': '1',
    })
    expect(sent['x-request-id']).toBe('r-1')
    expect(sent['x-b3-traceid']).toBe(TRACE)
    expect(sent['x-b3-sampled']).toBe('1')
    expect(sent['traceparent']).toBe(`00-${TRACE}-${sent['x-b3-spanid']}-01`)
    expect(sent['x-b3-spanid']).not.toBe('b7ad6b7169203331')
    expect(sent).not.toHaveProperty('b3')
    expect(sent).not.toHaveProperty('x-tenant-id')
  })

  test.each([
    ['0', '00', true],
    ['1', '01', false],
  ])(
    'a trace with sampled %s stays so; without, no span is made for the call',
    async (sampled, flags, shared) => {
      service.log.length = 0
      const sent = await headersAt('/ours', {
        'x-b3-traceid': TRACE,
        'x-b3-spanid': 'b7ad6b7169203331',
        'x-b3-sampled': sampled,
      })
      expect(sent['x-b3-traceid']).toBe(TRACE)
      expect(sent['x-b3-sampled']).toBe(sampled)
      expect(String(sent['traceparent']).split('-').at(-1)).toBe(flags)
      const { span_id } = await service.requestLine(({ path }) => path === '/ours')
      expect(sent['x-b3-spanid'] === span_id).toBe(shared)
    },
  )

  test('nothing goes to a third party', async () => {
    const sent = await headersAt('/theirs', {
      'x-request-id': 'r-1',
      'x-b3-traceid': TRACE,
      'x-b3-spanid': 'b7ad6b7169203331',
      'x-b3-sampled': '1',
      baggage: 'a=b',
    })
    const names = Object.keys(sent).filter((name) => /^(x-|b3|trace|baggage)/.test(name))
    expect(names).toEqual([])
  })
})
