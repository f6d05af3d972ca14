import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Answer,
  line,
  oversold,
  type Service,
  someoneWaits,
  startService,
  whileOpen,
} from './service.ts'

let service: Service

beforeAll(async () => {
  service = await startService()
})

afterAll(async () => {
  expect(await oversold(service)).toEqual([])
  await service.stop()
})

const problem = (slug: string) => `https://oms.example/problems/${slug}`
const LOCK_STOCK = 'SELECT FROM oms.stock WHERE sku = $1 FOR UPDATE'

describe('POST /api/v1/reservations', () => {
  test('holds every line and replays the stored answer for a repeated key', async () => {
    const [a, b] = [await service.sku(10), await service.sku(10)]
    const order = randomUUID()
    const first = await service.reserve(order, [line(b, 2), line(a, 3)])
    expect(first.statusCode).toBe(201)
    expect(first.json()).toEqual({
      order_id: order,
      state: 'held',
      lines: [line(b, 2), line(a, 3)],
    })
    expect(first.headers).toMatchObject({ 'x-order-id': order, 'cache-control': 'no-store' })
    expect(first.headers['idempotent-replayed']).toBeUndefined()
    const second = await service.reserve(order, [line(b, 2), line(a, 3)])
    expect(second.statusCode).toBe(201)
    expect(second.headers['idempotent-replayed']).toBe('true')
    expect(second.body).toBe(first.body)
    expect(await service.level(a)).toEqual({ available: 7, reserved: 3, sold: 0 })
    expect(await service.level(b)).toEqual({ available: 8, reserved: 2, sold: 0 })
  })

  test('holds for 15 minutes by the database’s clock', async () => {
    const order = randomUUID()
    await service.reserve(order, [line(await service.sku(1))])
    const { rows } = await service.database.admin.query(
      'SELECT extract(epoch FROM expires_at - created_at)::int AS s FROM oms.reservation WHERE order_id = $1',
      [order],
    )
    expect(rows).toEqual([{ s: 900 }])
  })

  test('takes an order id in upper case for the same order', async () => {
    const sku = await service.sku(5)
    const order = randomUUID()
    const first = await service.reserve(order.toUpperCase(), [line(sku)])
    expect(first.json()['order_id']).toBe(order)
    expect((await service.reserve(order, [line(sku)])).body).toBe(first.body)
    expect(await service.level(sku)).toMatchObject({ reserved: 1 })
  })

  test('takes the same lines in another order for the same request', async () => {
    const [a, b] = [await service.sku(5), await service.sku(5)]
    const order = randomUUID()
    const first = await service.reserve(order, [line(a), line(b)])
    const second = await service.reserve(order, [line(b), line(a)])
    expect(second.statusCode).toBe(201)
    expect(second.body).toBe(first.body)
  })

  test('rejects the whole order where one line is short, names what lacks, and keeps nothing', async () => {
    const [enough, short, none] = [
      await service.sku(5),
      await service.sku(1),
      `A-${randomUUID().toUpperCase()}`,
    ]
    const order = randomUUID()
    const lines = [line(short, 2), line(enough, 2), line(none)]
    const first = await service.reserve(order, lines)
    expect(first.statusCode).toBe(409)
    expect(first.json()).toMatchObject({
      type: problem('out-of-stock'),
      instance: `/api/v1/reservations/${order}`,
      retryable: false,
      outcome: 'final',
      order_id: order,
      unavailable_skus: [none, short],
    })
    expect(await service.level(enough)).toEqual({ available: 5, reserved: 0, sold: 0 })
    expect(await service.level(short)).toEqual({ available: 1, reserved: 0, sold: 0 })
    expect(await service.row(order)).toMatchObject({ state: 9, expires_at: null })
  })

  test('stays rejected when stock arrives later', async () => {
    const sku = await service.sku(0)
    const order = randomUUID()
    const first = await service.reserve(order, [line(sku)])
    await service.app.stock.supply({ tenantId: 'acme', sku, supplied: 10 })
    const second = await service.reserve(order, [line(sku)])
    expect(second.statusCode).toBe(409)
    expect(second.headers['idempotent-replayed']).toBe('true')
    expect(second.body).toBe(first.body)
    expect((await service.reserve(randomUUID(), [line(sku)])).statusCode).toBe(201)
  })

  test('sells the last unit once', async () => {
    const sku = await service.sku(1)
    const answers = await Promise.all(
      [1, 2, 3].map(() => service.reserve(randomUUID(), [line(sku)])),
    )
    expect(answers.map(({ statusCode }) => statusCode).sort()).toEqual([201, 409, 409])
  })

  test.each([
    ['a larger quantity', (sku: string) => [line(sku, 2)]],
    ['one line more', (sku: string) => [line(sku), line('OTHER')]],
  ])('refuses the same order with %s and changes nothing', async (_what, other) => {
    const sku = await service.sku(5)
    const order = randomUUID()
    const first = await service.reserve(order, [line(sku)])
    const answer = await service.reserve(order, other(sku))
    expect(answer.statusCode).toBe(422)
    expect(answer.json()).toMatchObject({
      type: problem('idempotency-key-reuse'),
      instance: `/api/v1/reservations/${order}`,
      order_id: order,
    })
    expect(answer.body).not.toContain(sku)
    expect((await service.reserve(order, [line(sku)])).body).toBe(first.body)
    expect(await service.level(sku)).toEqual({ available: 4, reserved: 1, sold: 0 })
  })

  test('answers a replay of a settled order with 201, committed', async () => {
    const sku = await service.sku(5)
    const order = randomUUID()
    await service.reserve(order, [line(sku)])
    await service.post(`/api/v1/reservations/${order}/settle`, {})
    const replay = await service.reserve(order, [line(sku)])
    expect(replay.statusCode).toBe(201)
    expect(replay.headers['idempotent-replayed']).toBe('true')
    expect(replay.json()).toMatchObject({ state: 'committed' })
    expect(await service.level(sku)).toEqual({ available: 4, reserved: 0, sold: 1 })
  })

  test('does not reserve after a release, whatever it asks for', async () => {
    const sku = await service.sku(5)
    const order = randomUUID()
    const release = await service.post(`/api/v1/reservations/${order}/release`, {})
    expect(release.statusCode).toBe(200)
    expect(release.json()).toEqual({ order_id: order, state: 'released', lines: [] })
    expect(await service.row(order)).toMatchObject({ state: 3, fp: null, lines: [] })
    const [late, other] = [
      await service.reserve(order, [line(sku)]),
      await service.reserve(order, [line(sku, 2)]),
    ]
    expect(late.statusCode).toBe(409)
    expect(late.json()).toMatchObject({
      type: problem('reservation-released'),
      instance: `/api/v1/reservations/${order}`,
      outcome: 'final',
      order_id: order,
    })
    expect(late.headers['idempotent-replayed']).toBe('true')
    expect(other.body).toBe(late.body)
    expect(await service.level(sku)).toEqual({ available: 5, reserved: 0, sold: 0 })
  })

  test('answers busy while another transaction holds the stock, and stores nothing', async () => {
    const sku = await service.sku(5)
    const order = randomUUID()
    const answer = await whileOpen(service, LOCK_STOCK, [sku], () =>
      service.reserve(order, [line(sku)]),
    )
    expect(answer.statusCode).toBe(409)
    expect(answer.headers['retry-after']).toBe('1')
    expect(answer.json()).toMatchObject({ type: problem('busy'), outcome: 'unknown' })
    expect(await service.row(order)).toBeUndefined()
    expect((await service.reserve(order, [line(sku)])).statusCode).toBe(201)
  })

  test('answers when the caller’s deadline is over, and tells a repetition what became of it', async () => {
    const sku = await service.sku(5)
    const order = randomUUID()
    await whileOpen(service, LOCK_STOCK, [sku], async (end) => {
      const startedAt = performance.now()
      const late = await service.reserve(order, [line(sku)], { 'x-request-deadline-ms': '200' })
      expect(performance.now() - startedAt).toBeLessThan(390)
      expect(late.json()).toMatchObject({ type: problem('busy'), outcome: 'unknown' })
      await end('COMMIT')
    })
    await Promise.all(service.app.server.chassis.background)
    const replay = await service.reserve(order, [line(sku)])
    expect(replay.statusCode).toBe(201)
    expect(replay.headers['idempotent-replayed']).toBe('true')
    expect(await service.level(sku)).toMatchObject({ reserved: 1 })
  })

  test('refuses a SKU that stands twice, by its second line', async () => {
    const sku = await service.sku(5)
    const order = randomUUID()
    const answer = await service.reserve(order, [line('OTHER'), line(sku), line(sku)])
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({
      type: problem('invalid-request'),
      outcome: 'not_executed',
      order_id: order,
      errors: [{ pointer: '/body/lines/2/sku' }],
    })
    expect(await service.row(order)).toBeUndefined()
    expect(await service.level(sku)).toMatchObject({ available: 5 })
  })

  const ok = line('MOKA-POT')
  const nested = '['.repeat(10_000) + ']'.repeat(10_000)
  test.each<[string, Record<string, string>, (order: string) => object | string, number, string]>([
    ['no tenant', { 'x-tenant-id': '' }, body([ok]), 401, 'tenant-missing'],
    ['two tenants', { 'x-tenant-id': 'acme, globex' }, body([ok]), 400, 'invalid-request'],
    ['a tenant in upper case', { 'x-tenant-id': 'ACME' }, body([ok]), 400, 'invalid-request'],
    ['no key', { 'idempotency-key': '' }, body([ok]), 400, 'invalid-request'],
    [
      'the key of another order',
      { 'idempotency-key': randomUUID() },
      body([ok]),
      400,
      'invalid-request',
    ],
    [
      'another order in the header',
      { 'x-order-id': randomUUID() },
      body([ok]),
      400,
      'invalid-request',
    ],
    ['no lines', {}, body([]), 400, 'invalid-request'],
    [
      '51 lines',
      {},
      body(Array.from({ length: 51 }, (_, i) => line(`SKU-${i}`))),
      400,
      'invalid-request',
    ],
    ['quantity 0', {}, body([line('A', 0)]), 400, 'invalid-request'],
    ['quantity −1', {}, body([line('A', -1)]), 400, 'invalid-request'],
    ['quantity 1.5', {}, body([line('A', 1.5)]), 400, 'invalid-request'],
    ['quantity 1,000,001', {}, body([line('A', 1_000_001)]), 400, 'invalid-request'],
    ['a quantity as text', {}, body([{ sku: 'A', quantity: '1' }]), 400, 'invalid-request'],
    ['no quantity', {}, body([{ sku: 'A' }]), 400, 'invalid-request'],
    ['a SKU in lower case', {}, body([line('moka-pot')]), 400, 'invalid-request'],
    ['a SKU of 65 characters', {}, body([line('A'.repeat(65))]), 400, 'invalid-request'],
    ['a quote in a SKU', {}, body([line("A'; DROP TABLE oms.stock --")]), 400, 'invalid-request'],
    [
      'an unknown field',
      {},
      (order) => ({ order_id: order, lines: [ok], state: 'committed' }),
      400,
      'invalid-request',
    ],
    ['an unknown field of a line', {}, body([{ ...ok, price: 1 }]), 400, 'invalid-request'],
    [
      'a tenant in the body',
      {},
      (order) => ({ order_id: order, lines: [ok], tenant_id: 'globex' }),
      400,
      'invalid-request',
    ],
    [
      'an order id that is no UUID',
      {},
      () => ({ order_id: 'x'.repeat(36), lines: [ok] }),
      400,
      'invalid-request',
    ],
    ['an array', {}, (order) => [{ order_id: order, lines: [ok] }], 400, 'invalid-request'],
    ['no body', {}, () => '', 400, 'invalid-request'],
    ['malformed JSON', {}, (order) => `{"order_id":"${order}","lines":[`, 400, 'invalid-request'],
    [
      '__proto__',
      {},
      (order) => `{"order_id":"${order}","lines":[{"sku":"A","quantity":1}],"__proto__":{"x":1}}`,
      400,
      'invalid-request',
    ],
    [
      'constructor.prototype',
      {},
      (order) =>
        `{"order_id":"${order}","lines":[{"sku":"A","quantity":1}],"constructor":{"prototype":{"x":1}}}`,
      400,
      'invalid-request',
    ],
    [
      'ten thousand levels',
      {},
      (order) => `{"order_id":"${order}","lines":${nested}}`,
      400,
      'invalid-request',
    ],
    [
      '64 KiB + 1',
      {},
      (order) => JSON.stringify({ order_id: order, lines: [ok] }).padEnd(65_537),
      413,
      'content-too-large',
    ],
    [
      'another content type',
      { 'content-type': 'text/plain' },
      (order) => JSON.stringify({ order_id: order, lines: [ok] }),
      415,
      'unsupported-media-type',
    ],
    [
      'another charset',
      { 'content-type': 'application/json; charset=utf-16' },
      body([ok]),
      415,
      'unsupported-media-type',
    ],
    [
      'a card number in the key',
      { 'idempotency-key': '4111111111111111' },
      body([ok]),
      400,
      'pan-rejected',
    ],
    [
      'a deadline of 20 ms',
      { 'x-request-deadline-ms': '20' },
      body([ok]),
      429,
      'deadline-too-short',
    ],
  ])('refuses %s and stores nothing', async (_what, headers, payload, status, slug) => {
    const order = randomUUID()
    const answer = await service.post('/api/v1/reservations', payload(order), {
      'idempotency-key': order,
      'x-order-id': order,
      ...headers,
    })
    expect(answer.statusCode).toBe(status)
    expect(answer.headers['content-type']).toContain('application/problem+json')
    expect(answer.json()).toMatchObject({ type: problem(slug), status, outcome: 'not_executed' })
    expect(await service.row(order)).toBeUndefined()
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  })

  test('asks for the Idempotency-Key where there is none', async () => {
    const order = randomUUID()
    const answer = await service.post('/api/v1/reservations', { order_id: order, lines: [ok] })
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({ type: problem('idempotency-key-missing') })
    expect(await service.row(order)).toBeUndefined()
  })

  test('takes 50 lines of 10⁶', async () => {
    const skus = await Promise.all(Array.from({ length: 50 }, () => service.sku(1_000_000)))
    const answer = await service.reserve(
      randomUUID(),
      skus.map((sku) => line(sku, 1_000_000)),
    )
    expect(answer.statusCode).toBe(201)
    expect(await service.level(skus[49] as string)).toMatchObject({ available: 0 })
  })
})

function body(lines: readonly object[]): (order: string) => object {
  return (order) => ({ order_id: order, lines })
}

describe('GET /api/v1/reservations/{orderId}', () => {
  test('tells until when a reservation is held', async () => {
    const order = randomUUID()
    const sku = await service.sku(5)
    await service.reserve(order, [line(sku)])
    const held = await service.get(`/api/v1/reservations/${order.toUpperCase()}`)
    expect(held.statusCode).toBe(200)
    expect(held.headers['x-order-id']).toBe(order)
    expect(held.json()).toEqual({
      order_id: order,
      state: 'held',
      lines: [line(sku)],
      expires_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    })
    await service.post(`/api/v1/reservations/${order}/release`, {})
    const released = await service.get(`/api/v1/reservations/${order}`)
    expect(released.json()).toMatchObject({ state: 'released', expires_at: null })
  })

  test('answers 404 where there is none, and 400 where the id is none', async () => {
    const order = randomUUID()
    const missing = await service.get(`/api/v1/reservations/${order}`)
    expect(missing.statusCode).toBe(404)
    expect(missing.json()).toMatchObject({
      type: problem('not-found'),
      order_id: order,
      instance: `/api/v1/reservations/${order}`,
    })
    expect((await service.get('/api/v1/reservations/none')).statusCode).toBe(400)
  })

  test('answers 405 at an address that is spelled as a command', async () => {
    const answer = await service.get('/api/v1/reservations/settle')
    expect(answer.statusCode).toBe(405)
    expect(answer.headers['allow']).toBe('POST')
  })
})

describe('POST /api/v1/reservations/{orderId}/release', () => {
  const release = (order: string, payload: object | string = {}, headers = {}) =>
    service.post(`/api/v1/reservations/${order}/release`, payload, headers)

  test('gives every line back, once', async () => {
    const [a, b] = [await service.sku(5), await service.sku(5)]
    const order = randomUUID()
    await service.reserve(order, [line(a, 2), line(b, 3)])
    const first = await release(order, '', { 'idempotency-key': order, 'x-order-id': order })
    expect(first.statusCode).toBe(200)
    expect(first.json()).toEqual({
      order_id: order,
      state: 'released',
      lines: [line(a, 2), line(b, 3)],
    })
    expect(first.headers['x-order-id']).toBe(order)
    const second = await release(order)
    expect(second.body).toBe(first.body)
    expect(second.headers['idempotent-replayed']).toBe('true')
    expect(await service.level(a)).toEqual({ available: 5, reserved: 0, sold: 0 })
    expect(await service.level(b)).toEqual({ available: 5, reserved: 0, sold: 0 })
  })

  test('makes the reserve’s answer the released one', async () => {
    const sku = await service.sku(5)
    const order = randomUUID()
    await service.reserve(order, [line(sku)])
    await release(order)
    expect((await service.reserve(order, [line(sku)])).json()['type']).toBe(
      problem('reservation-released'),
    )
    expect((await service.reserve(order, [line(sku, 2)])).statusCode).toBe(422)
  })

  test('leaves a rejected reservation rejected', async () => {
    const order = randomUUID()
    const rejected = await service.reserve(order, [line('NOWHERE')])
    const answer = await release(order)
    expect(answer.statusCode).toBe(200)
    expect(answer.json()).toMatchObject({ order_id: order, state: 'rejected' })
    expect((await service.reserve(order, [line('NOWHERE')])).body).toBe(rejected.body)
  })

  test('is refused once the stock is sold', async () => {
    const sku = await service.sku(5)
    const order = randomUUID()
    await service.reserve(order, [line(sku)])
    await service.post(`/api/v1/reservations/${order}/settle`, {})
    const answer = await release(order)
    expect(answer.statusCode).toBe(409)
    expect(answer.json()).toMatchObject({
      type: problem('reservation-committed'),
      instance: `/api/v1/reservations/${order}`,
      outcome: 'final',
      order_id: order,
    })
    expect((await release(order)).body).toBe(answer.body)
    expect(await service.level(sku)).toEqual({ available: 4, reserved: 0, sold: 1 })
  })

  test.each([
    ['an unknown field', { force: true }, {}],
    ['the key of another order', {}, { 'idempotency-key': randomUUID() }],
    ['another order in the header', {}, { 'x-order-id': randomUUID() }],
  ])('refuses %s and leaves no tombstone', async (_what, payload, headers) => {
    const order = randomUUID()
    expect((await release(order, payload, headers)).statusCode).toBe(400)
    expect(await service.row(order)).toBeUndefined()
  })
})

describe('POST /api/v1/reservations/{orderId}/settle', () => {
  const settle = (order: string, payload: object = {}, headers = {}) =>
    service.post(`/api/v1/reservations/${order}/settle`, payload, headers)

  test('sells what is held, once', async () => {
    const sku = await service.sku(5)
    const order = randomUUID()
    await service.reserve(order, [line(sku, 2)])
    const first = await settle(order)
    expect(first.statusCode).toBe(200)
    expect(first.json()).toEqual({ order_id: order, state: 'committed', lines: [line(sku, 2)] })
    const second = await settle(order)
    expect(second.body).toBe(first.body)
    expect(second.headers['idempotent-replayed']).toBe('true')
    expect(await service.level(sku)).toEqual({ available: 3, reserved: 0, sold: 2 })
  })

  test('answers 404 where nothing was reserved, and leaves no row', async () => {
    const order = randomUUID()
    const answer = await settle(order)
    expect(answer.statusCode).toBe(404)
    expect(answer.json()).toMatchObject({ type: problem('not-found'), order_id: order })
    expect(await service.row(order)).toBeUndefined()
  })

  test.each(['released', 'rejected'])(
    'is refused where the reservation is %s: nothing is held, nothing will be',
    async (state) => {
      const sku = await service.sku(state === 'rejected' ? 0 : 5)
      const order = randomUUID()
      await service.reserve(order, [line(sku)])
      if (state === 'released') await service.post(`/api/v1/reservations/${order}/release`, {})
      const answer = await settle(order)
      expect(answer.statusCode).toBe(409)
      expect(answer.json()).toMatchObject({
        type: problem('reservation-released'),
        detail: expect.stringContaining(state),
        instance: `/api/v1/reservations/${order}`,
        outcome: 'final',
        order_id: order,
      })
      expect(await service.level(sku)).toMatchObject({ reserved: 0, sold: 0 })
    },
  )

  test('refuses ids that do not agree', async () => {
    const order = randomUUID()
    expect((await settle(order, {}, { 'x-order-id': randomUUID() })).statusCode).toBe(400)
    expect((await settle(order, {}, { 'idempotency-key': randomUUID() })).statusCode).toBe(400)
    expect((await settle(order, { state: 'committed' })).statusCode).toBe(400)
  })
})

describe('POST /api/v1/reservations/settle', () => {
  const settle = (orderIds: readonly unknown[]) =>
    service.post('/api/v1/reservations/settle', { order_ids: orderIds })

  test('commits a batch, sums the lines of one SKU, and tells of each order what stands', async () => {
    const [a, b] = [await service.sku(10), await service.sku(10)]
    const ids = Array.from({ length: 5 }, () => randomUUID()).sort()
    const [first, second, released, rejected, missing] = ids as [
      string,
      string,
      string,
      string,
      string,
    ]
    await service.reserve(first, [line(a, 2), line(b)])
    await service.reserve(second, [line(b, 3), line(a)])
    await service.reserve(released, [line(a, 4)])
    await service.post(`/api/v1/reservations/${released}/release`, {})
    await service.reserve(rejected, [line(a, 11)])
    const answer = await settle([missing, second.toUpperCase(), released, rejected, first])
    expect(answer.statusCode).toBe(200)
    expect(answer.json()).toEqual({
      items: [
        { order_id: first, state: 'committed' },
        { order_id: second, state: 'committed' },
        { order_id: released, state: 'released' },
        { order_id: rejected, state: 'rejected' },
      ],
    })
    expect(await service.level(a)).toEqual({ available: 7, reserved: 0, sold: 3 })
    expect(await service.level(b)).toEqual({ available: 6, reserved: 0, sold: 4 })
    expect((await settle(ids)).body).toBe(answer.body)
    expect(await service.level(a)).toEqual({ available: 7, reserved: 0, sold: 3 })
  })

  test('takes 128 orders', async () => {
    const ids = Array.from({ length: 128 }, () => randomUUID())
    const sku = await service.sku(128)
    for (const orderId of ids)
      await service.app.stock.reserve({
        tenantId: 'acme',
        orderId,
        lines: [line(sku)],
        fingerprint: '00',
      })
    const answer = await settle(ids)
    expect(answer.json()['items']).toHaveLength(128)
    expect(await service.level(sku)).toEqual({ available: 0, reserved: 0, sold: 128 })
  })

  test.each([
    ['129 orders', Array.from({ length: 129 }, () => randomUUID())],
    ['no order', []],
    ['one order twice', Array(2).fill('00000000-0000-4000-8000-000000000000')],
    ['an id that is none', ['x']],
    ['a number', [1]],
  ])('refuses %s', async (_what, orderIds) => {
    const answer = await settle(orderIds)
    expect(answer.statusCode).toBe(400)
    expect(answer.json()['type']).toBe(problem('invalid-request'))
  })
})

describe('a crash after the commit', () => {
  const HOOK = Symbol.for('oms.fault-point')
  const hooks = globalThis as { [HOOK]?: (name: string) => void }

  /** The answer of `work` when the process fails at `point`. */
  async function failingAt(point: string, work: () => Promise<Answer>): Promise<Answer> {
    let hits = 0
    hooks[HOOK] = (name) => {
      if (name !== point) return
      hits++
      throw new Error('crash')
    }
    const answer = await work().finally(() => delete hooks[HOOK])
    expect(hits).toBe(1)
    return answer
  }

  test.each(['r1', 'settle', 'release'])(
    'of %s loses nothing: the repetition reads the row',
    async (what) => {
      const sku = await service.sku(5)
      const order = randomUUID()
      const reserve = () => service.reserve(order, [line(sku)])
      const end = () => service.post(`/api/v1/reservations/${order}/${what}`, {})
      if (what !== 'r1') await reserve()
      const work = what === 'r1' ? reserve : end
      const lost = await failingAt(`inventory.${what}.after_commit`, work)
      expect(lost.statusCode).toBe(500)
      expect(lost.json()).toMatchObject({ outcome: 'unknown', retryable: true })
      expect(lost.body).not.toContain('crash')
      const before = await service.level(sku)
      const again = await work()
      expect(again.statusCode).toBe(what === 'r1' ? 201 : 200)
      expect(again.headers['idempotent-replayed']).toBe('true')
      expect(await service.level(sku)).toEqual(before)
    },
  )
})

describe('reserve, while the first try is not committed,', () => {
  const reserve = 'SELECT role FROM oms.reserve($1, $2, $3, $4)'
  const fp = Buffer.from('00', 'hex')
  const command = (orderId: string, sku: string) => ({
    tenantId: 'acme',
    orderId,
    lines: [line(sku)],
    fingerprint: '00',
  })

  test('waits and replays it when it commits', async () => {
    const sku = await service.sku(5)
    const order = randomUUID()
    const values = ['acme', order, fp, JSON.stringify([line(sku)])]
    await whileOpen(service, reserve, values, async (end) => {
      const duplicate = service.app.stock.reserve(command(order, sku))
      await someoneWaits(service)
      await end('COMMIT')
      expect(await duplicate).toMatchObject({ role: 'read', reservation: { state: 'held' } })
    })
    expect(await service.level(sku)).toMatchObject({ reserved: 1 })
  })

  test('takes its place when it is rolled back', async () => {
    const sku = await service.sku(5)
    const order = randomUUID()
    const values = ['acme', order, fp, JSON.stringify([line(sku)])]
    await whileOpen(service, reserve, values, async (end) => {
      const duplicate = service.app.stock.reserve(command(order, sku))
      await someoneWaits(service)
      await end('ROLLBACK')
      expect(await duplicate).toMatchObject({ role: 'fresh', reservation: { state: 'held' } })
    })
    expect(await service.level(sku)).toMatchObject({ reserved: 1 })
  })

  test('is released by a release that came meanwhile', async () => {
    const sku = await service.sku(5)
    const order = randomUUID()
    const values = ['acme', order, fp, JSON.stringify([line(sku)])]
    await whileOpen(service, reserve, values, async (end) => {
      const release = service.app.stock.release({ tenantId: 'acme', orderId: order })
      await someoneWaits(service)
      await end('COMMIT')
      expect(await release).toMatchObject({
        role: 'fresh',
        reservation: { state: 'released', lines: [line(sku)] },
      })
    })
    expect(await service.level(sku)).toEqual({ available: 5, reserved: 0, sold: 0 })
  })
})
