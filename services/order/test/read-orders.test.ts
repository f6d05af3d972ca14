import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createScene, type Scene } from './scene.ts'

let scene: Scene
beforeAll(async () => {
  scene = await createScene()
})
afterAll(() => scene.close())
beforeEach(async () => {
  scene.approve()
  await scene.admin.query('TRUNCATE oms.orders')
})

const at = (time: string) => ({ created_at: `'2026-01-01T00:00:${time}Z'` })
const list = (query = '', headers = {}) => scene.send('GET', `/api/v1/orders${query}`, headers)
const ids = async (query = '', headers = {}) =>
  (await list(query, headers)).json().items.map(({ order_id }) => order_id)

async function walk(limit: number, filter = ''): Promise<readonly string[]> {
  const found: string[] = []
  let cursor = ''
  for (let page = 0; page < 50; page++) {
    const answer = await list(`?limit=${limit}${filter}${cursor}`)
    expect(answer.statusCode).toBe(200)
    const { items, next_cursor } = answer.json()
    found.push(...items.map(({ order_id }) => order_id))
    if (next_cursor === null) return found
    cursor = `&cursor=${next_cursor}`
  }
  throw new Error('the pages do not end')
}

describe('GET /api/v1/orders', () => {
  test('lists newest first, 20 unless asked otherwise', async () => {
    const placed: string[] = []
    for (let i = 10; i < 33; i++) placed.unshift(await scene.given(at(`${i}.5`)))
    const first = await list()
    expect(first.json().items.map(({ order_id }) => order_id)).toEqual(placed.slice(0, 20))
    expect(first.json().next_cursor).toEqual(expect.any(String))
    expect(await ids(`?cursor=${first.json().next_cursor}`)).toEqual(placed.slice(20))
    expect(await ids('?limit=100')).toEqual(placed)
    expect((await list('?limit=23')).json().next_cursor).toBeNull()
  })

  test.each([1, 2, 3, 7])(
    'misses and repeats none on pages of %i, also of the same microsecond',
    async (limit) => {
      const all: string[] = []
      for (const time of [
        '01.000001',
        '01.000002',
        '01.000001',
        '01.0001',
        '01',
        '01.000001',
        '00.999999',
        '01.00001',
      ])
        all.push(await scene.given(at(time)))
      const walked = await walk(limit)
      expect(walked).toHaveLength(all.length)
      expect(new Set(walked)).toEqual(new Set(all))
      expect(walked).toEqual(await ids())
    },
  )

  test('shows one state where asked for it', async () => {
    await scene.given()
    const confirmed = randomUUID()
    await scene.place(confirmed)
    expect(await ids('?state=confirmed')).toEqual([confirmed])
    expect(await ids('?state=rejected')).toEqual([])
    for (let i = 0; i < 3; i++) await scene.given({ state: '30' })
    expect(await walk(2, '&state=payment_unknown')).toHaveLength(3)
  })

  test('shows a tenant its own orders only', async () => {
    const mine = await scene.given()
    const theirs = await scene.given({}, 'globex')
    expect(await ids()).toEqual([mine])
    expect(await ids('', { 'x-tenant-id': 'globex' })).toEqual([theirs])
    expect(await ids('', { 'x-tenant-id': 'initech' })).toEqual([])
  })

  test('shows of an order what POST shows, and no secret', async () => {
    const key = randomUUID()
    const placed = await scene.place(key)
    const page = await list()
    expect(page.json()).toEqual({ items: [placed.json()], next_cursor: null })
    expect(page.body).not.toContain('pm_')
    expect(page.body).not.toContain('tenant')
  })

  test('goes on where a cursor of another tenant points, with its own orders', async () => {
    for (let i = 0; i < 3; i++) await scene.given(at(`0${i}`))
    const theirs = await scene.given(at('00'), 'globex')
    const { next_cursor } = (await list('?limit=1')).json()
    expect(await ids(`?cursor=${next_cursor}`, { 'x-tenant-id': 'globex' })).toEqual([theirs])
  })

  const id = '00000000-0000-4000-8000-000000000000'
  const cursor = (text: string) => Buffer.from(text).toString('base64url')
  test.each([
    ['nothing', ''],
    ['words', 'next'],
    ['another version', cursor('2')],
    ['no id', cursor('2026-01-01T00:00:00.000000Z ')],
    ['an id that is none', cursor(`2026-01-01T00:00:00.000000Z ${'-'.repeat(36)}`)],
    ['the 30th of February', cursor(`2026-02-30T00:00:00.000000Z ${id}`)],
    ['the 13th month', cursor(`2026-13-01T00:00:00.000000Z ${id}`)],
    ['24 o’clock', cursor(`2026-01-01T24:00:00.000000Z ${id}`)],
    ['the 61st second', cursor(`2026-01-01T00:00:61.000000Z ${id}`)],
    ['the year 0', cursor(`0000-01-01T00:00:00.000000Z ${id}`)],
    ['an offset of 99 hours', cursor(`2026-01-01T00:00:00.000000+99:00 ${id}`)],
    ['a quote', cursor(`2026-01-01T00:00:00.000000Z ${id}' OR 1=1`)],
    ['a NUL', cursor(`2026-01-01T00:00:00.000000Z ${id}\0`)],
    ['too much', 'A'.repeat(300)],
  ])('refuses a cursor that holds %s', async (_what, text) => {
    const answer = await list(`?cursor=${encodeURIComponent(text)}`)
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({
      type: 'https://oms.example/problems/invalid-request',
      errors: [{ pointer: '/querystring/cursor' }],
    })
  })

  test.each([
    'limit=0',
    'limit=101',
    'limit=-1',
    'limit=abc',
    'limit=1.5',
    'limit=1e400',
    'limit=',
    'limit=1&limit=2',
    'state=CONFIRMED',
    'state=shipped',
    'state=100',
    'state=confirmed&state=pending',
    'tenant_id=globex',
    '__proto__=1',
  ])('refuses ?%s', async (query) => {
    const answer = await list(`?${query}`)
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({
      outcome: 'not_executed',
      errors: [{ pointer: expect.stringContaining('/querystring') }],
    })
  })
})

describe('GET /api/v1/orders/{id}', () => {
  test('shows what POST answered', async () => {
    const key = randomUUID()
    const placed = await scene.place(key)
    const read = await scene.read(key)
    expect(read.statusCode).toBe(200)
    expect(read.body).toBe(placed.body)
    expect(read.headers).toMatchObject({ 'x-order-id': key, 'cache-control': 'no-store' })
    expect((await scene.read(key.toUpperCase())).body).toBe(placed.body)
  })

  test.each([
    ['pending', { state: '10' }, null],
    ['payment_unknown', { state: '30' }, null],
    ['refunding', { state: '35', verdict: "'captured'", cancel_requested_at: 'now()' }, null],
    ['compensating', { state: '40', verdict: "'voided'", reason: "'timed_out'" }, 'timed_out'],
  ])('shows an order that is %s', async (state, fields, reason) => {
    const orderId = await scene.given(fields)
    expect((await scene.read(orderId)).json()).toMatchObject({
      order_id: orderId,
      state,
      reason,
      finished_at: null,
    })
  })

  test('answers 404 for an order that does not exist', async () => {
    const orderId = randomUUID()
    const answer = await scene.read(orderId)
    expect(answer.statusCode).toBe(404)
    expect(answer.json()).toEqual({
      type: 'https://oms.example/problems/not-found',
      title: 'Not found',
      status: 404,
      detail: `There is no order ${orderId}.`,
      instance: `/api/v1/orders/${orderId}`,
      retryable: false,
      outcome: 'not_executed',
      order_id: orderId,
    })
  })

  test.each([
    'x',
    '1',
    'events1',
    '00000000-0000-4000-8000-00000000000',
    "' OR 1=1--",
    '%00',
    '..%2F',
  ])('refuses %s for an id', async (id) => {
    const answer = await scene.send('GET', `/api/v1/orders/${encodeURIComponent(id)}`)
    expect([400, 404]).toContain(answer.statusCode)
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/)
  })
})

describe('another tenant’s order', () => {
  test('is not there: every route answers as for an id that nobody has', async () => {
    const theirs = await scene.given({}, 'globex')
    const before = await scene.row(theirs, 'globex')
    for (const [method, path] of [
      ['GET', ''],
      ['POST', '/cancel'],
    ] as const) {
      const nobodys = randomUUID()
      const url = (id: string) => `/api/v1/orders/${id}${path}`
      const foreign = await scene.send(method, url(theirs))
      const unknown = await scene.send(method, url(nobodys))
      expect([foreign.statusCode, unknown.statusCode]).toEqual([404, 404])
      expect(foreign.body.replaceAll(theirs, nobodys)).toBe(unknown.body)
      const names = (headers: object) => Object.keys(headers).toSorted()
      expect(names(foreign.headers)).toEqual(names(unknown.headers))
    }
    expect({ ...(await scene.row(theirs, 'globex')), runs_in: 0 }).toEqual({
      ...before,
      runs_in: 0,
    })
    // The same id is free in this tenant.
    expect((await scene.place(theirs)).statusCode).toBe(201)
    expect((await scene.row(theirs, 'globex')).state).toBe(10)
  })
})
