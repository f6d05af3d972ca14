import { connect } from 'node:net'
import { Check } from 'typebox/value'
import { describe, expect, test } from 'vitest'
import openapi from '../openapi.json' with { type: 'json' }
import { buildProcessor } from '../src/app.ts'
import { Charge, ChargeRequest, Refund, RefundRequest } from '../src/wire.ts'
import { emptyFolder, type Failure, startProcessor, underWay } from './running.ts'

interface Listing {
  readonly data: readonly { readonly id: string }[]
  readonly has_more?: boolean
}

describe('reading', () => {
  test('answers a charge and a refund by id as they were made', async () => {
    const processor = await startProcessor()
    const { body: charge } = await processor.charge('k1')
    const { body: refund } = await processor.refund('k2', { charge: charge.id, amount: 5 })
    expect(await processor.get(`/v1/charges/${charge.id}`)).toMatchObject({
      status: 200,
      body: charge,
    })
    expect(await processor.get(`/v1/refunds/${refund.id}`)).toMatchObject({
      status: 200,
      body: refund,
    })
    expect(Check(Charge, charge)).toBe(true)
    expect(Check(Refund, refund)).toBe(true)
    expect(charge.created).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  })

  test.each(['/v1/charges/ch_none', '/v1/refunds/re_none', '/v1/nothing'])(
    'answers 404 for %s',
    async (path) => {
      const processor = await startProcessor()
      expect(await processor.get<Failure>(path)).toMatchObject({
        status: 404,
        body: { error: { code: 'not_found' } },
      })
    },
  )

  test('answers every charge of a merchant reference, more than a page, and no other', async () => {
    const processor = await startProcessor()
    await processor.charge('other', { merchant_reference: 'oms:local:acme:o2' })
    const merchant_reference = 'oms:local:acme:o1'
    await Promise.all(
      Array.from({ length: 120 }, (_, i) => processor.charge(`k${i}`, { merchant_reference })),
    )
    const path = `/v1/charges?merchant_reference=${encodeURIComponent(merchant_reference)}`
    const { data, has_more } = (await processor.get<Listing>(path)).body
    expect(new Set(data.map(({ id }) => id)).size).toBe(120)
    expect(has_more).toBeUndefined()
    expect((await processor.get('/v1/charges?merchant_reference=none')).body).toEqual({ data: [] })
    expect((await processor.get('/v1/refunds?merchant_reference=none')).body).toEqual({ data: [] })
  })

  test.each([1, 7, 100, 1000])(
    'reads the whole ledger in pages of %i, each object once, oldest first',
    async (limit) => {
      const processor = await startProcessor()
      const made: string[] = []
      for (let i = 0; i < 14; i += 1) made.push((await processor.charge(`k${i}`)).body.id)
      const read: string[] = []
      for (let after = ''; ; ) {
        const { body } = await processor.get<Listing>(`/v1/charges?limit=${limit}${after}`)
        expect(body.data.length).toBeGreaterThan(0)
        expect(body.data.length).toBeLessThanOrEqual(limit)
        read.push(...body.data.map(({ id }) => id))
        if (body.has_more !== true) break
        after = `&after=${body.data.at(-1)?.id}`
      }
      expect(read).toEqual(made)
    },
  )

  test('gives 100 objects a page by default', async () => {
    const processor = await startProcessor()
    await Promise.all(Array.from({ length: 101 }, (_, i) => processor.charge(`k${i}`)))
    const { body } = await processor.get<Listing>('/v1/charges')
    expect(body.data).toHaveLength(100)
    expect(body.has_more).toBe(true)
  })

  test.each([
    'limit=0',
    'limit=1001',
    'limit=ten',
    'after=ch_none',
    'merchant_reference=a&limit=5',
    'merchant_reference=a&merchant_reference=b',
    'status=succeeded',
  ])('refuses the query %s', async (query) => {
    const processor = await startProcessor()
    expect(await processor.get<Failure>(`/v1/charges?${query}`)).toMatchObject({
      status: 400,
      body: { error: { code: 'invalid_request' } },
    })
  })
})

describe('refusals', () => {
  test.each([
    ['no amount', { amount: undefined }, 'amount'],
    ['amount 0', { amount: 0 }, '/amount'],
    ['an amount as text', { amount: '1999' }, '/amount'],
    ['half a cent', { amount: 19.5 }, '/amount'],
    ['an amount above 10¹²', { amount: 1e12 + 1 }, '/amount'],
    ['a currency in small letters', { currency: 'eur' }, '/currency'],
    ['a card number for a token', { source: '4111111111111111' }, '/source'],
    ['a short token', { source: 'pm_short' }, '/source'],
    ['an empty reference', { merchant_reference: '' }, '/merchant_reference'],
    ['an unknown member', { capture: false }, '(capture)'],
  ])('refuses %s, names the member and stores nothing', async (_case, change, named) => {
    const processor = await startProcessor()
    const { status, body } = await processor.charge<Failure>('k1', change)
    expect({ status, code: body.error.code }).toEqual({ status: 400, code: 'invalid_request' })
    expect(body.error.message).toContain(named)
    expect(body.error.message).not.toContain('4111')
    expect((await processor.get<Listing>('/v1/charges')).body.data).toEqual([])
  })

  test.each([
    ['no Idempotency-Key', {}],
    ['an empty Idempotency-Key', { 'idempotency-key': '' }],
    ['an Idempotency-Key with a space', { 'idempotency-key': 'a b' }],
    ['an Idempotency-Key of 256 characters', { 'idempotency-key': 'k'.repeat(256) }],
  ])('refuses %s', async (_case, headers: Record<string, string>) => {
    const { origin } = await startProcessor()
    const body = {
      amount: 1,
      currency: 'EUR',
      source: 'pm_approve0001',
      merchant_reference: 'ref-1',
    }
    const response = await fetch(`${origin}/v1/charges`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    })
    expect(response.status).toBe(400)
    expect(((await response.json()) as Failure).error.message).toContain('Idempotency-Key')
  })

  test('takes an Idempotency-Key of 255 characters', async () => {
    const processor = await startProcessor()
    expect((await processor.charge('k'.repeat(255))).status).toBe(200)
  })

  test.each([
    ['broken JSON', 'application/json', '{"amount":', 400],
    ['an empty body', 'application/json', '', 400],
    ['plain text', 'text/plain', '{}', 415],
    ['more than 64 KiB', 'application/json', JSON.stringify({ a: 'a'.repeat(65_536) }), 413],
  ])('refuses %s in its own error format', async (_case, type, body, status) => {
    const { origin } = await startProcessor()
    const response = await fetch(`${origin}/v1/charges`, {
      method: 'POST',
      headers: { 'content-type': type, 'idempotency-key': 'k1' },
      body,
    })
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ error: { code: 'invalid_request' } })
  })
})

describe('stopping', () => {
  test('captures and answers a slow charge at once', async () => {
    const processor = await startProcessor({ slowMs: 60_000 })
    const slow = processor.charge('k1', { source: 'pm_slow00001' })
    await underWay(processor, 'k1')
    const startedAt = performance.now()
    await processor.close()
    expect(performance.now() - startedAt).toBeLessThan(1500)
    const { body } = await slow
    const after = await startProcessor({ dataDir: processor.dataDir })
    expect((await after.get(`/v1/charges/${body.id}`)).body).toEqual(body)
  })

  test('does not wait for a request that never arrives in full', async () => {
    const processor = await startProcessor()
    const socket = connect(Number(new URL(processor.origin).port), '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write('POST /v1/charges HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n')
    await processor.get('/health')
    await processor.close()
    socket.destroy()
  })
})

describe('openapi.json', () => {
  test('is served as it is committed', async () => {
    const processor = await startProcessor()
    expect((await processor.get('/openapi.json')).body).toEqual(openapi)
  })

  test('describes every route and no other', async () => {
    const { server, close } = await buildProcessor({
      dataDir: emptyFolder(),
      seed: 'test',
      slowMs: 0,
      pid: process.pid,
      isRunning: () => true,
    })
    const described = Object.entries(openapi.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => ({
        method: method.toUpperCase(),
        url: path.replace('{id}', ':id'),
      })),
    )
    expect(described.filter((route) => !server.hasRoute(route))).toEqual([])
    const printed = server.printRoutes({ commonPrefix: false })
    expect(printed.match(/\((?:GET|POST)/g)).toHaveLength(
      new Set(described.map(({ url }) => url)).size,
    )
    await close()
  })

  test.each([
    ['ChargeRequest', ChargeRequest],
    ['RefundRequest', RefundRequest],
    ['Charge', Charge],
    ['Refund', Refund],
  ] as const)('states the schema of %s that the code uses', (name, schema) => {
    const bare = JSON.parse(
      JSON.stringify(openapi.components.schemas[name], (key, value) =>
        key === 'description' ? undefined : value,
      ),
    )
    expect(bare).toEqual(JSON.parse(JSON.stringify(schema)))
  })
})
