import { Busy, Overloaded, Unavailable } from '@oms/problem/http-problems'
import { Type } from 'typebox'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { problemOf, startService, TENANT, type TestService } from './service.ts'

const closed = { additionalProperties: false } as const

const Thing = Type.Object(
  {
    name: Type.String({ minLength: 1 }),
    quantity: Type.Optional(Type.Integer({ default: 7 })),
    sku: Type.Optional(Type.String()),
    parts: Type.Optional(Type.Array(Type.Object({ sku: Type.String() }, closed))),
  },
  closed,
)

const Page = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: 100, default: 20 }),
    sku: Type.Optional(Type.Array(Type.String(), { maxItems: 3 })),
  },
  closed,
)

const failures: Record<string, () => unknown> = {
  busy: () => new Busy('Wait.'),
  overloaded: () => new Overloaded('Later.'),
  unavailable: () => new Unavailable('Elsewhere.'),
  bug: () =>
    new Error('SELECT secret FROM oms.thing failed at db.internal:5432', {
      cause: new Error('relation "oms.thing" does not exist'),
    }),
  nothing: () => undefined,
}

let service: TestService
/** What reached a handler. */
const handled: unknown[] = []

beforeAll(async () => {
  service = await startService((server) => {
    server.post('/things', { schema: { body: Thing } }, async (request) => {
      handled.push(request.body)
      return { got: request.body }
    })
    server.post(
      '/empty',
      { schema: { body: Type.Optional(Type.Object({}, closed)) } },
      async () => {
        handled.push('empty')
        return { ok: true }
      },
    )
    server.post('/open', async (request) => {
      handled.push(request.body)
      return { ok: true }
    })
    server.get('/things', { schema: { querystring: Page } }, async (request) => request.query)
    server.get('/things/:id', async (request) => ({ ...(request.params as object) }))
    server.put('/things/:id', async () => ({}))
    server.post('/things/all', async () => ({}))
    server.get('/fails/:how', async (request) => {
      throw failures[(request.params as { how: string }).how]?.()
    })
    server.get(
      '/shown',
      { schema: { response: { 200: Type.Object({ name: Type.String() }) } } },
      () =>
        Promise.resolve({ name: 'a', payment_token: 'canary', tenant_id: 'canary' } as {
          name: string
        }),
    )
    server.get(
      '/late',
      { config: { handlerTimeoutMs: 50 } },
      async () => new Promise(() => undefined),
    )
    server.get('/limited', { config: { quotaPerSecond: 1 } }, async () => ({ ok: true }))
  })
})

afterAll(() => service.stop())
beforeEach(() => void handled.splice(0))

describe('a body', () => {
  test('that conforms reaches the handler unchanged: nothing coerced, nothing defaulted', async () => {
    const answer = await service.post('/things', { name: 'a' })
    expect(await answer.json()).toEqual({ got: { name: 'a' } })
  })

  test.each([
    ['a number as text', { name: 'a', quantity: '5' }, '/body/quantity'],
    ['a text as number', { name: 5 }, '/body/name'],
    ['a fraction', { name: 'a', quantity: 1.5 }, '/body/quantity'],
    ['an unknown member', { name: 'a', price: 1 }, '/body/price'],
    ['an unknown member with a slash', { name: 'a', 'x/y~z': 1 }, '/body/x~1y~0z'],
    ['an unknown member far inside', { name: 'a', parts: [{ sku: 'A', n: 1 }] }, '/body/parts/0/n'],
    ['a missing member', {}, '/body'],
    ['an array', [], '/body'],
    ['null', 'null', '/body'],
    ['a number', '5', '/body'],
  ])('with %s is refused and the place is named', async (_what, body, pointer) => {
    const problem = await problemOf(await service.post('/things', body), 400, 'invalid-request')
    expect(problem['errors']).toEqual([{ pointer, detail: expect.any(String) }])
    expect(problem).toMatchObject({ retryable: false, outcome: 'not_executed' })
    expect(handled).toEqual([])
  })

  test.each([
    ['broken JSON', '{"name":'],
    ['two documents', '{"name":"a"}{}'],
    ['a single quote', "{'name':'a'}"],
    ['nothing, where a member is required', ''],
  ])('of %s is refused', async (_what, body) => {
    await problemOf(await service.post('/things', body), 400, 'invalid-request')
    expect(handled).toEqual([])
  })

  test.each(['', '{}'])('may be empty where nothing is asked for: %j', async (body) => {
    expect((await service.post('/empty', body)).status).toBe(200)
    const bare = await fetch(`${service.origin}/empty`, { method: 'POST', headers: TENANT })
    expect(bare.status).toBe(200)
  })

  test('of 64 KiB is taken, and one byte more is 413', async () => {
    const frame = JSON.stringify({ name: '' }).length
    const full = await service.post('/things', { name: 'n'.repeat(65_536 - frame) })
    expect(full.status).toBe(200)
    await full.arrayBuffer()
    handled.splice(0)
    const over = await service.post('/things', { name: 'n'.repeat(65_537 - frame) })
    await problemOf(over, 413, 'content-too-large')
    expect(handled).toEqual([])
  })

  test('sent in chunks is cut off at the same size', async () => {
    const body = new Blob([JSON.stringify({ name: 'n'.repeat(70_000) })]).stream()
    const answer = await fetch(`${service.origin}/things`, {
      method: 'POST',
      body,
      duplex: 'half',
      headers: { ...TENANT, 'content-type': 'application/json' },
    })
    await problemOf(answer, 413, 'content-too-large')
    expect(handled).toEqual([])
  })

  test.each([
    'text/plain',
    'application/jsonx',
    'application/json; charset=latin1',
    'application/json; charset=utf-16',
    'application/json; version=2',
    'application/json, text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/problem+json',
    'x-application/json',
    'json',
  ])('of type %s is 415 and reaches no handler', async (type) => {
    const answer = await service.post('/things', { name: 'a' }, { 'content-type': type })
    await problemOf(answer, 415, 'unsupported-media-type')
    expect(handled).toEqual([])
  })

  test('of no type is 415', async () => {
    const answer = await fetch(`${service.origin}/things`, {
      method: 'POST',
      body: new Blob(['{"name":"a"}']),
      headers: TENANT,
    })
    await problemOf(answer, 415, 'unsupported-media-type')
  })

  test.each([
    'application/json',
    'application/json; charset=utf-8',
    'application/json;charset=UTF-8',
    'Application/JSON; charset="utf-8"',
  ])('of type %s is taken', async (type) => {
    const answer = await service.post('/things', { name: 'a' }, { 'content-type': type })
    expect(answer.status).toBe(200)
  })

  test.each([
    '{"name":"a","__proto__":{"polluted":1}}',
    '{"name":"a","parts":[{"sku":"A","__proto__":{"polluted":1}}]}',
    '{"name":"a","\\u005f\\u005fproto__":{"polluted":1}}',
    '{"name":"a","constructor":{"prototype":{"polluted":1}}}',
  ])('that reaches for a prototype is refused and none is touched: %s', async (body) => {
    // With a schema that would refuse the member, and with none.
    await problemOf(await service.post('/things', body), 400, 'invalid-request')
    await problemOf(await service.post('/open', body), 400, 'invalid-request')
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
    expect(Object.getPrototypeOf({})).toBe(Object.prototype)
    expect(handled).toEqual([])
  })

  test.each([
    ['arrays', `${'['.repeat(10_000)}${']'.repeat(10_000)}`],
    ['arrays in a member', `{"name":${'['.repeat(30_000)}${']'.repeat(30_000)}}`],
    ['objects', `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`],
  ])('of %s, ten thousand deep and more, is refused', async (_what, body) => {
    await problemOf(await service.post('/things', body), 400, 'invalid-request')
    expect(handled).toEqual([])
  })
})

describe('a card number', () => {
  const PAN = '4242424242424242'

  test.each([
    ['as text', { name: PAN }],
    ['in groups', { name: 'my card 4242 4242 4242 4242, thanks' }],
    ['as a number', { name: 'a', quantity: Number(PAN) }],
    ['as a member', { name: 'a', [PAN]: 1 }],
    ['deep inside, behind an unknown member', { name: 'a', x: [{ y: { z: `n${PAN}` } }] }],
    ['written with escapes', '{"name":"\\u0034242424242424242"}'],
  ])('in a body is refused %s, and never shown or logged', async (_what, body) => {
    const answer = await service.post('/things', body)
    const problem = await problemOf(answer, 400, 'pan-rejected')
    expect(JSON.stringify(problem)).not.toContain(PAN)
    expect(service.log.join('')).not.toContain(PAN)
    expect(handled).toEqual([])
  })

  test.each([
    ['a SKU', { name: 'a', sku: PAN, parts: [{ sku: PAN }] }],
    ['a UUID', { name: '00000000-4242-4242-4242-424242424242' }],
    ['a number that fails its check digit', { name: '4242424242424241' }],
  ])('is not what %s looks like', async (_what, body) => {
    expect((await service.post('/things', body)).status).toBe(200)
  })

  test('is refused in an Idempotency-Key', async () => {
    const answer = await service.post('/things', { name: 'a' }, { 'idempotency-key': `k-${PAN}` })
    await problemOf(answer, 400, 'pan-rejected')
    const uuid = '00000000-4242-4242-4242-424242424242'
    expect((await service.post('/things', { name: 'a' }, { 'idempotency-key': uuid })).status).toBe(
      200,
    )
  })

  test('in an address is masked in answer and log', async () => {
    const answer = await service.get(`/nowhere/${PAN}`)
    expect((await problemOf(answer, 404, 'not-found'))['instance']).toBe('/nowhere/[PAN]')
    await service.requestLine(({ path }) => path === '/nowhere/[PAN]')
    expect(service.log.join('')).not.toContain(PAN)
  })
})

describe('an answer', () => {
  test('shows the members that its schema lists, whatever the handler returns', async () => {
    expect(await (await service.get('/shown')).json()).toEqual({ name: 'a' })
  })

  test('comes from a Fastify that refuses content types by their whole name: 5.12.8 or later', () => {
    const [major = 0, minor = 0, patch = 0] = service.server.version.split('.').map(Number)
    expect(major * 1e6 + minor * 1e3 + patch).toBeGreaterThanOrEqual(5_012_008)
  })
})

describe('a query', () => {
  test('arrives as text and is read as what the schema says', async () => {
    expect(await (await service.get('/things?limit=5&sku=A')).json()).toEqual({
      limit: 5,
      sku: ['A'],
    })
    expect(await (await service.get('/things?sku=A&sku=B')).json()).toEqual({
      limit: 20,
      sku: ['A', 'B'],
    })
  })

  test.each([
    ['limit=0', '/querystring/limit'],
    ['limit=101', '/querystring/limit'],
    ['limit=x', '/querystring/limit'],
    ['limit=1.5', '/querystring/limit'],
    ['limit=1&limit=2', '/querystring/limit'],
    ['offset=1', '/querystring/offset'],
    ['__proto__=1', '/querystring/__proto__'],
    ['sku=A&sku=B&sku=C&sku=D', '/querystring/sku'],
  ])('of %s is refused', async (query, pointer) => {
    const problem = await problemOf(await service.get(`/things?${query}`), 400, 'invalid-request')
    expect(problem['errors']).toMatchObject([{ pointer }])
  })
})

describe('an address', () => {
  test('that is none is 404, whoever asks', async () => {
    await problemOf(await service.get('/nowhere'), 404, 'not-found')
    await problemOf(await service.get('/nowhere', {}), 404, 'not-found')
    await problemOf(await service.get('/thing', {}), 404, 'not-found')
  })

  test.each([
    ['DELETE', '/things', 'POST, GET'],
    ['HEAD', '/things', 'POST, GET'],
    ['OPTIONS', '/things/1', 'GET, PUT'],
    ['POST', '/things/1', 'GET, PUT'],
    ['POST', '/health', 'GET'],
    ['QUERY', '/things', 'POST, GET'],
    // Spelled as a route, it is no id.
    ['GET', '/things/all?limit=1', 'POST'],
    ['OPTIONS', '/things/all', 'POST'],
  ])(
    'that takes other methods answers %s %s with 405 and their names',
    async (method, path, allow) => {
      const answer = await fetch(service.origin + path, { method, headers: TENANT })
      expect(answer.status).toBe(405)
      expect(answer.headers.get('allow')).toBe(allow)
      if (method !== 'HEAD') await problemOf(answer, 405, 'method-not-allowed')
    },
  )

  test('that takes other methods is 405, and one that is none 404, whatever the body is', async () => {
    await problemOf(await service.post('/things/1', 'no JSON'), 405, 'method-not-allowed')
    await problemOf(await service.post('/nowhere', 'no JSON'), 404, 'not-found')
  })

  test.each(['/things/%zz', '/things/%', `/things/${'x'.repeat(65)}`])(
    'that cannot be read is 400, with its trace and its log line: %s',
    async (path) => {
      const answer = await service.get(path)
      await problemOf(answer, 400, 'invalid-request')
      const trace = answer.headers.get('x-trace-id')
      expect(trace).toMatch(/^[0-9a-f]{32}$/)
      expect(await service.requestLine((line) => line['trace_id'] === trace)).toMatchObject({
        status: 400,
        aborted: false,
      })
    },
  )
})

describe('a tenant', () => {
  test.each([[{}], [{ 'x-tenant-id': '' }]])('that is missing is 401: %j', async (headers) => {
    const problem = await problemOf(
      await service.get('/things/1', headers as Record<string, string>),
      401,
      'tenant-missing',
    )
    expect(problem).toMatchObject({ retryable: false, outcome: 'not_executed' })
  })

  test.each(['acme, globex', 'acme,globex', 'Acme', '-acme', 'a_b', "a' OR 1=1--", 'a'.repeat(64)])(
    'of %s is refused',
    async (tenant) => {
      await problemOf(
        await service.get('/things/1', { 'x-tenant-id': tenant }),
        400,
        'invalid-request',
      )
    },
  )

  test('given twice is refused', async () => {
    const headers = new Headers({ 'x-tenant-id': 'acme' })
    headers.append('x-tenant-id', 'acme')
    await problemOf(await fetch(`${service.origin}/things/1`, { headers }), 400, 'invalid-request')
  })

  test('above its quota is told so, and only that tenant', async () => {
    expect((await service.get('/limited')).status).toBe(200)
    const second = await service.get('/limited')
    const problem = await problemOf(second, 429, 'tenant-quota')
    expect(problem).toMatchObject({ retryable: true, outcome: 'not_executed' })
    expect(second.headers.get('retry-after')).toBe('1')
    expect(second.headers.get('x-envoy-ratelimited')).toBe('1')
    expect((await service.get('/limited', { 'x-tenant-id': 'globex' })).status).toBe(200)
  })
})

describe('a failure', () => {
  test.each([
    ['busy', 409, 'busy', 'unknown'],
    ['overloaded', 429, 'overloaded', 'not_executed'],
    ['unavailable', 503, 'unavailable', 'unknown'],
    ['bug', 500, 'internal', 'unknown'],
    ['nothing', 500, 'internal', 'unknown'],
  ])('of kind %s is %i %s, retryable', async (how, status, slug, outcome) => {
    const problem = await problemOf(await service.get(`/fails/${how}`), status, slug)
    expect(problem).toMatchObject({ retryable: true, outcome })
  })

  test('that is a bug shows no stack, SQL or host, and is logged with its cause', async () => {
    const text = await (await service.get('/fails/bug')).text()
    expect(text).not.toMatch(/SELECT|oms\.thing|db\.internal|5432|\.ts|at .*\(/)
    const line = service.log.find((each) => each.includes('db.internal')) ?? ''
    expect(line).toContain('relation \\"oms.thing\\" does not exist')
  })

  test('to answer in time is 503: another replica may do better', async () => {
    const problem = await problemOf(await service.get('/late'), 503, 'unavailable')
    expect(problem).toMatchObject({ retryable: true, outcome: 'unknown' })
  })

  test.each([
    ['retry-after', '1'],
    ['x-envoy-ratelimited', '1'],
  ])('from overload carries %s: no proxy retries it', async (header, value) => {
    expect((await service.get('/fails/overloaded')).headers.get(header)).toBe(value)
  })
})
