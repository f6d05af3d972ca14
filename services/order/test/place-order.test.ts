import { randomUUID } from 'node:crypto'
import { eventually } from '@oms/chassis/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  createScene,
  type Endpoint,
  ORDER,
  ORDER_AMOUNT_MINOR,
  payment,
  problem,
  type Scene,
  type Script,
} from './scene.ts'

const FAULT_POINT = Symbol.for('oms.fault-point')

let scene: Scene
beforeAll(async () => {
  scene = await createScene()
})
afterAll(() => scene.close())
afterEach(() => {
  Reflect.deleteProperty(globalThis, FAULT_POINT)
})
beforeEach(() => {
  scene.approve()
})

const declines: Script = (response, orderId) =>
  problem(response, 402, 'payment-declined', orderId, { decline_code: 'card_declined' })
const lacksStock: Script = (response, orderId) =>
  problem(response, 409, 'out-of-stock', orderId, { unavailable_skus: ['BEANS'] })
const failing: Script = (response) => response.writeHead(503).end()

/** Where an order's own answers say where it stands. */
const at = (orderId: string) => `/api/v1/orders/${orderId}`

describe('POST /api/v1/orders', () => {
  test('reserves, charges and confirms: 201, the order as this service priced it', async () => {
    const key = randomUUID()
    const answer = await scene.place(key)
    expect(answer.statusCode).toBe(201)
    expect(answer.json()).toEqual({
      order_id: key,
      state: 'confirmed',
      reason: null,
      currency: 'EUR',
      amount_minor: ORDER_AMOUNT_MINOR,
      lines: [{ sku: 'BEANS', quantity: 2, unit_price_minor: 1890 }],
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      finished_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    })
    expect(answer.headers).toMatchObject({
      'x-order-id': key,
      'cache-control': 'no-store',
      'x-trace-id': expect.stringMatching(/^[0-9a-f]{32}$/),
    })
    expect(answer.headers).not.toHaveProperty('idempotent-replayed')
    expect(scene.commands(key)).toEqual(['reserve', 'charge'])
    expect(await scene.outbox(key)).toEqual(['order.confirmed'])
  })

  test('sends the participants what they need, under ids that agree', async () => {
    const key = randomUUID()
    const traceId = '0af7651916cd43dd8448eb211c80319c'
    await scene.place(key, {
      headers: {
        traceparent: `00-${traceId}-b7ad6b7169203331-01`,
        'x-request-id': 'req-17',
        'x-request-deadline-ms': '5000',
      },
    })
    const [reserve, charge] = scene.sent.filter(({ orderId }) => orderId === key)
    expect(reserve?.body).toEqual({ order_id: key, lines: ORDER.lines })
    expect(charge?.body).toEqual({
      order_id: key,
      amount_minor: ORDER_AMOUNT_MINOR,
      currency: 'EUR',
      payment_token: ORDER.payment_token,
    })
    for (const request of [reserve, charge]) {
      expect(request?.headers).toMatchObject({
        'idempotency-key': key,
        'x-order-id': key,
        'x-tenant-id': 'acme',
        'x-request-id': 'req-17',
        traceparent: expect.stringMatching(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`)),
        'x-b3-traceid': traceId,
        'x-b3-spanid': expect.stringMatching(/^[0-9a-f]{16}$/),
        'x-b3-sampled': '1',
      })
      expect(request?.headers).not.toHaveProperty('b3')
    }
    // A pass has its own 10 s, whatever its caller allows; inventory has 2.2 s of them.
    expect(Number(reserve?.headers['x-request-deadline-ms'])).toBe(2200)
    const left = Number(charge?.headers['x-request-deadline-ms'])
    expect(left).toBeGreaterThan(8000)
    expect(left).toBeLessThanOrEqual(9700)
  })

  test('answers an order out of stock as 409, names the SKUs, and charges nothing', async () => {
    scene.on('reserve', lacksStock)
    const key = randomUUID()
    const answer = await scene.place(key)
    expect(answer.statusCode).toBe(409)
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/)
    expect(answer.json()).toEqual({
      type: 'https://oms.example/problems/out-of-stock',
      title: 'Not enough stock',
      status: 409,
      detail: expect.stringContaining('BEANS'),
      instance: at(key),
      retryable: false,
      outcome: 'final',
      order_id: key,
      unavailable_skus: ['BEANS'],
    })
    expect(scene.commands(key)).toEqual(['reserve'])
    expect(await scene.row(key)).toMatchObject({
      state: 110,
      reason: 'out_of_stock',
      payment_token: null,
    })
  })

  test('answers a decline as 402 with its code, and gives the stock back first', async () => {
    scene.on('charge', declines)
    const key = randomUUID()
    const answer = await scene.place(key)
    expect(answer.statusCode).toBe(402)
    expect(answer.json()).toMatchObject({
      type: 'https://oms.example/problems/payment-declined',
      instance: at(key),
      retryable: false,
      outcome: 'final',
      order_id: key,
      decline_code: 'card_declined',
    })
    expect(scene.commands(key)).toEqual(['reserve', 'charge', 'release'])
    expect(await scene.row(key)).toMatchObject({
      state: 120,
      verdict: 'declined',
      reason: 'payment_declined',
    })
    expect(await scene.outbox(key)).toEqual(['order.declined'])
  })

  test('answers 202 with Location and Retry-After while the outcome is not known', async () => {
    scene.on('charge', failing)
    const key = randomUUID()
    const answer = await scene.place(key)
    expect(answer.statusCode).toBe(202)
    expect(answer.headers).toMatchObject({
      location: at(key),
      'retry-after': '1',
      'x-order-id': key,
    })
    expect(answer.json()).toMatchObject({
      order_id: key,
      state: 'payment_unknown',
      finished_at: null,
    })
    expect(scene.commands(key)).toEqual(['reserve', 'charge'])
  })

  test('answers by the caller’s deadline, and goes on without it', async () => {
    let release: () => void = () => undefined
    scene.on('charge', (response, orderId) => {
      release = () => payment(response, 201, orderId)
    })
    const key = randomUUID()
    const answer = await scene.place(key, { headers: { 'x-request-deadline-ms': '400' } })
    expect(answer.statusCode).toBe(202)
    release()
    await Promise.all(scene.app.server.chassis.background)
    expect(await scene.row(key)).toMatchObject({ state: 100 })
  })
})

describe('a repeated key', () => {
  test.each<[string, number, Partial<Record<Endpoint, Script>>]>([
    ['confirmed', 201, {}],
    ['rejected', 409, { reserve: lacksStock }],
    ['declined', 402, { charge: declines }],
  ])(
    'of a %s order gets the same answer, byte for byte, on any replica',
    async (_state, status, scripts) => {
      for (const [endpoint, script] of Object.entries(scripts))
        scene.on(endpoint as Endpoint, script)
      const key = randomUUID()
      const first = await scene.place(key)
      expect(first.statusCode).toBe(status)
      const sentBefore = scene.sent.length
      const other = scene.other()
      for (const on of [scene.app, other]) {
        const again = await scene.place(key, { on })
        expect(again.statusCode).toBe(status)
        expect(again.body).toBe(first.body)
        expect(again.headers).toMatchObject({ 'idempotent-replayed': 'true', 'x-order-id': key })
      }
      expect(scene.sent).toHaveLength(sentBefore)
      expect((await scene.row(key)).attempt).toBe(0)
    },
  )

  test('counts lines as a set, and fields in any order', async () => {
    const key = randomUUID()
    const lines = [
      { sku: 'MUG', quantity: 1 },
      { sku: 'BEANS', quantity: 2 },
    ]
    const first = await scene.place(key, { body: { ...ORDER, lines } })
    const again = await scene.place(key, {
      body: {
        payment_token: ORDER.payment_token,
        lines: lines.toReversed().map(({ sku, quantity }) => ({ quantity, sku })),
        currency: 'EUR',
      },
    })
    expect([first.statusCode, again.statusCode]).toEqual([201, 201])
    expect(again.body).toBe(first.body)
  })

  test('of a running order waits for its end', async () => {
    let release: () => void = () => undefined
    scene.on('charge', (response, orderId) => {
      release = () => payment(response, 201, orderId)
    })
    const key = randomUUID()
    const first = scene.place(key)
    await eventually('the charge is sent', () => scene.commands(key).includes('charge'))
    let accepted = 0
    Reflect.set(globalThis, FAULT_POINT, (name: string) => {
      if (name === 'order.t1.after_commit') accepted++
    })
    const again = [scene.place(key), scene.place(key, { on: scene.other() })]
    await eventually('the duplicates wait', () => accepted === 2)
    release()
    const answers = await Promise.all([first, ...again])
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([201, 201, 201])
    expect(new Set(answers.map(({ body }) => body)).size).toBe(1)
    expect(scene.commands(key)).toEqual(['reserve', 'charge'])
  })

  test('of a running order waits 1.5 s at most, then 202 with Location and Retry-After', async () => {
    const orderId = await scene.given({ fp: 'NULL' })
    const from = performance.now()
    const answer = await scene.place(orderId)
    const waited = performance.now() - from
    expect(answer.statusCode).toBe(202)
    expect(answer.headers).toMatchObject({ location: at(orderId), 'retry-after': '1' })
    expect(answer.json()).toMatchObject({ state: 'pending' })
    expect(waited).toBeGreaterThan(1400)
    expect(waited).toBeLessThan(2500)
    expect(scene.commands(orderId)).toEqual([])
  })

  test('of a running order leaves 200 ms of a short deadline', async () => {
    const orderId = await scene.given({ fp: 'NULL' })
    const from = performance.now()
    const answer = await scene.place(orderId, { headers: { 'x-request-deadline-ms': '500' } })
    expect(answer.statusCode).toBe(202)
    expect(performance.now() - from).toBeLessThan(450)
  })

  test('after the lease ran out resumes the order itself: an old failure is never replayed', async () => {
    scene.on('charge', failing)
    const key = randomUUID()
    expect((await scene.place(key)).statusCode).toBe(202)
    scene.approve()
    await scene.letLeaseEnd(key)
    const again = await scene.place(key)
    expect(again.statusCode).toBe(201)
    // 30: a charge was sent, so what was reserved is not asked again.
    expect(scene.commands(key)).toEqual(['charge'])
  })

  test('after the lease ran out is driven by one of many duplicates', async () => {
    scene.on('charge', failing)
    const key = randomUUID()
    await scene.place(key)
    scene.approve()
    await scene.warmBoth()
    await scene.letLeaseEnd(key)
    const other = scene.other()
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        scene.place(key, { on: i % 2 === 0 ? scene.app : other }),
      ),
    )
    expect(answers.map(({ statusCode }) => statusCode)).toEqual(Array(8).fill(201))
    expect(new Set(answers.map(({ body }) => body)).size).toBe(1)
    expect(scene.commands(key)).toEqual(['charge'])
  })

  test.each([
    ['another quantity', { ...ORDER, lines: [{ sku: 'BEANS', quantity: 77 }] }],
    ['another card', { ...ORDER, payment_token: 'pm_approve0002' }],
    ['an unpriced SKU', { ...ORDER, lines: [{ sku: 'NOTHING', quantity: 1 }] }],
    ['too large an amount', { ...ORDER, lines: [{ sku: 'YACHT', quantity: 1001 }] }],
  ])('with %s is refused with 422, changes nothing and gives nothing away', async (_what, body) => {
    const key = randomUUID()
    const first = await scene.place(key)
    const before = await scene.row(key)
    const other = await scene.place(key, { body })
    expect(other.statusCode).toBe(422)
    expect(other.json()).toMatchObject({
      type: 'https://oms.example/problems/idempotency-key-reuse',
      retryable: false,
      outcome: 'not_executed',
      order_id: key,
    })
    expect(other.body).not.toContain('BEANS')
    expect(other.body).not.toContain(String(ORDER_AMOUNT_MINOR))
    expect(other.body).not.toContain('confirmed')
    expect({ ...(await scene.row(key)), runs_in: null }).toEqual({ ...before, runs_in: null })
    expect((await scene.place(key)).body).toBe(first.body)
  })

  test('with another request on a running order neither drives nor waits', async () => {
    const orderId = await scene.given({ next_run_at: "now() - interval '1 s'" })
    expect((await scene.place(orderId)).statusCode).toBe(422)
    expect(scene.commands(orderId)).toEqual([])
    expect((await scene.row(orderId)).attempt).toBe(0)
  })

  test('of a tombstone gets the tombstone’s verdict, whatever the request', async () => {
    const orderId = randomUUID()
    expect((await scene.verdict(orderId)).json().verdict).toBe('keep')
    // The late request finds the tombstone due and buries the order itself.
    const answer = await scene.place(orderId)
    expect(answer.statusCode).toBe(409)
    expect(answer.json()).toMatchObject({
      type: 'https://oms.example/problems/order-cancelled',
      outcome: 'final',
      retryable: false,
      order_id: orderId,
      instance: at(orderId),
    })
    expect(scene.commands(orderId)).toEqual(['void', 'release'])
    const other = await scene.place(orderId, { body: { ...ORDER, currency: 'CHF' } })
    expect(other.body).toBe(answer.body)
  })

  test('of another tenant is another order', async () => {
    const key = randomUUID()
    const mine = await scene.place(key)
    const theirs = await scene.place(key, { headers: { 'x-tenant-id': 'globex' } })
    expect([mine.statusCode, theirs.statusCode]).toEqual([201, 201])
    expect(mine.json().amount_minor).toBe(2 * 1890)
    expect(theirs.json().amount_minor).toBe(2 * 5)
    expect(theirs.headers).not.toHaveProperty('idempotent-replayed')
  })
})

describe('a key', () => {
  test('that is a UUID is the order’s id, in lower case', async () => {
    const key = randomUUID()
    const upper = await scene.place(key.toUpperCase())
    expect(upper.json().order_id).toBe(key)
    expect((await scene.place(key)).body).toBe(upper.body)
  })

  test('of any other form makes a UUIDv8, of its tenant', async () => {
    const key = 'checkout:2026-01-01:0001'
    const answer = await scene.place(key)
    const { order_id: orderId } = answer.json()
    // SHA-256("acme" ‖ 0x00 ‖ key), version 8, variant 10: part of the contract, for ever.
    expect(orderId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(answer.headers['x-order-id']).toBe(orderId)
    expect((await scene.place(key)).body).toBe(answer.body)
    const theirs = await scene.place(key, { headers: { 'x-tenant-id': 'globex' } })
    expect(theirs.json().order_id).not.toBe(orderId)
  })

  test.each([16, 255])('of %i characters is taken', async (length) => {
    const answer = await scene.place(
      `k${randomUUID().replaceAll('-', '')}`.padEnd(length, '~').slice(0, length),
    )
    expect(answer.statusCode).toBe(201)
  })

  test.each([
    ['is missing', undefined],
    ['is empty', ''],
    ['has 15 characters', 'k'.repeat(15)],
    ['has 256 characters', 'k'.repeat(256)],
    ['holds a space', 'checkout 2026 01 01 0001'],
    ['holds a letter outside ASCII', 'checkout-2026-01-01-é'],
    ['holds a tab', 'checkout-2026-01-01\t0001'],
    ['is sent twice', `${randomUUID()}, ${randomUUID()}`],
  ])('that %s is refused, and nothing is stored', async (_what, key) => {
    const before = await scene.orders()
    const answer = await scene.send('POST', '/api/v1/orders', { 'idempotency-key': key }, ORDER)
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({
      type: 'https://oms.example/problems/idempotency-key-missing',
      outcome: 'not_executed',
      retryable: false,
    })
    expect(await scene.orders()).toBe(before)
  })

  test.each([
    ['an unknown SKU', { ...ORDER, lines: [{ sku: 'NOTHING', quantity: 1 }] }],
    ['too large an amount', { ...ORDER, lines: [{ sku: 'YACHT', quantity: 1001 }] }],
    ['a malformed body', { ...ORDER, currency: 'euro' }],
  ])('whose request was refused for %s may be used again', async (_what, body) => {
    const key = randomUUID()
    expect((await scene.place(key, { body })).statusCode).toBe(400)
    expect(await scene.row(key)).toBeUndefined()
    expect((await scene.place(key)).statusCode).toBe(201)
  })
})

describe('prices', () => {
  test('of unknown SKUs are named, each by its place', async () => {
    const lines = [
      { sku: 'NOTHING', quantity: 1 },
      { sku: 'BEANS', quantity: 1 },
      { sku: 'ANYTHING', quantity: 1 },
    ]
    const answer = await scene.place(randomUUID(), { body: { ...ORDER, lines } })
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({
      type: 'https://oms.example/problems/unknown-sku',
      outcome: 'not_executed',
      errors: [
        { pointer: '/body/lines/0/sku', detail: 'NOTHING has no price in EUR' },
        { pointer: '/body/lines/2/sku', detail: 'ANYTHING has no price in EUR' },
      ],
    })
  })

  test('are those of the order’s currency', async () => {
    const body = { ...ORDER, currency: 'CHF' }
    expect((await scene.place(randomUUID(), { body })).json().amount_minor).toBe(2 * 1990)
    const mug = { ...body, lines: [{ sku: 'MUG', quantity: 1 }] }
    expect((await scene.place(randomUUID(), { body: mug })).statusCode).toBe(400)
  })

  test('are this tenant’s alone', async () => {
    const headers = { 'x-tenant-id': 'globex' }
    const mug = { ...ORDER, lines: [{ sku: 'MUG', quantity: 1 }] }
    const answer = await scene.place(randomUUID(), { headers, body: mug })
    expect(answer.json().type).toBe('https://oms.example/problems/unknown-sku')
  })

  test('that change leave an accepted order, its replay and its charge alone', async () => {
    const price = { tenantId: 'acme', sku: 'PRICED', currency: 'EUR', unitPriceMinor: 100 }
    await scene.app.orders.setPrice(price)
    scene.on('charge', failing)
    const key = randomUUID()
    const body = { ...ORDER, lines: [{ sku: 'PRICED', quantity: 3 }] }
    await scene.place(key, { body })
    await scene.app.orders.setPrice({ ...price, unitPriceMinor: 999 })
    scene.approve()
    await scene.letLeaseEnd(key)
    const answer = await scene.place(key, { body })
    expect(answer.json()).toMatchObject({
      amount_minor: 300,
      lines: [{ sku: 'PRICED', quantity: 3, unit_price_minor: 100 }],
    })
    expect(scene.sent.find(({ orderId }) => orderId === key)?.body).toMatchObject({
      amount_minor: 300,
    })
    expect((await scene.place(randomUUID(), { body })).json().amount_minor).toBe(2997)
  })

  test('that are gone leave an accepted order alone', async () => {
    const price = { tenantId: 'acme', sku: 'GONE', currency: 'EUR', unitPriceMinor: 100 }
    await scene.app.orders.setPrice(price)
    const key = randomUUID()
    const body = { ...ORDER, lines: [{ sku: 'GONE', quantity: 1 }] }
    const first = await scene.place(key, { body })
    await scene.admin.query("DELETE FROM oms.price WHERE sku = 'GONE'")
    expect((await scene.place(key, { body })).body).toBe(first.body)
  })

  test('add up to 10^12 minor units and no more', async () => {
    const lines = (quantity: number) => ({ ...ORDER, lines: [{ sku: 'YACHT', quantity }] })
    const most = await scene.place(randomUUID(), { body: lines(1000) })
    expect(most.json()).toMatchObject({ state: 'confirmed', amount_minor: 1_000_000_000_000 })
    const more = await scene.place(randomUUID(), { body: lines(1001) })
    expect(more.statusCode).toBe(400)
    expect(more.json()).toMatchObject({
      type: 'https://oms.example/problems/invalid-request',
      errors: [{ pointer: '/body/lines' }],
    })
  })
})

describe('a row that is locked', () => {
  /** Holds the row of `orderId` in a transaction of its own. */
  async function locked(orderId: string): Promise<() => Promise<void>> {
    const client = await scene.admin.connect()
    await client.query('BEGIN')
    await client.query('SELECT FROM oms.orders WHERE order_id = $1 FOR UPDATE', [orderId])
    return async () => {
      await client.query('ROLLBACK')
      client.release()
    }
  }

  test.each([
    ['POST', (orderId: string) => scene.place(orderId)],
    ['cancel', (orderId: string) => scene.cancel(orderId)],
  ])('is busy to %s: 409, ask again after a second', async (_what, ask) => {
    const orderId = await scene.given({ fp: 'NULL', next_run_at: 'now()' })
    const unlock = await locked(orderId)
    const answer = await ask(orderId)
    await unlock()
    expect(answer.statusCode).toBe(409)
    expect(answer.headers['retry-after']).toBe('1')
    expect(answer.json()).toMatchObject({
      type: 'https://oms.example/problems/busy',
      retryable: true,
      outcome: 'unknown',
    })
    expect(scene.commands(orderId)).toEqual([])
  })

  test('is waited for where the one that inserts it is about to commit', async () => {
    const orderId = randomUUID()
    const client = await scene.admin.connect()
    await client.query('BEGIN')
    await client.query(
      `INSERT INTO oms.orders (tenant_id, order_id, state, lines, decide_at, next_run_at)
       VALUES ('acme', $1, 10, '[]', now() + interval '1 min', now() + interval '1 min')`,
      [orderId],
    )
    const answer = await scene.place(orderId)
    await client.query('ROLLBACK')
    client.release()
    expect(answer.json().type).toBe('https://oms.example/problems/busy')
  })
})

describe('an accepted order', () => {
  /** Cuts the database off when `endpoint` is asked, answers, and gives it back when told. */
  async function withoutDatabase(work: (cut: () => Promise<void>) => Promise<void>): Promise<void> {
    const keeper = await scene.admin.connect()
    const { name } = scene.database
    try {
      await work(async () => {
        await keeper.query(`ALTER DATABASE ${name} CONNECTION LIMIT 0`)
        await keeper.query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND usename = 'oms_order'",
          [name],
        )
      })
    } finally {
      await keeper.query(`ALTER DATABASE ${name} CONNECTION LIMIT -1`)
      keeper.release()
    }
  }

  test('is answered with 202 when the database goes away after T1, and ends later', async () => {
    const key = randomUUID()
    await withoutDatabase(async (cut) => {
      scene.on(
        'charge',
        (response, orderId) => void cut().then(() => payment(response, 201, orderId)),
      )
      const answer = await scene.place(key)
      expect(answer.statusCode).toBe(202)
      expect(answer.json()).toMatchObject({ order_id: key, state: 'pending' })
    })
    scene.approve()
    await scene.recoverTo(key, 'confirmed')
    // Nothing was written about the first charge: the same key asks for it again.
    expect(scene.commands(key)).toEqual(['reserve', 'charge'])
  })

  test('is answered with 202 when its row is locked at the verdict, and ends later', async () => {
    const key = randomUUID()
    const client = await scene.admin.connect()
    scene.on('charge', (response, orderId) => {
      void client
        .query('BEGIN')
        .then(() => client.query('SELECT FROM oms.orders WHERE order_id = $1 FOR UPDATE', [key]))
        .then(() => payment(response, 201, orderId))
    })
    const answer = await scene.place(key)
    await client.query('ROLLBACK')
    client.release()
    expect(answer.statusCode).toBe(202)
    scene.approve()
    await scene.recoverTo(key, 'confirmed')
  })

  test('is answered with 202 to a duplicate, too, when the database goes away while it waits', async () => {
    const orderId = await scene.given({ fp: 'NULL' })
    await withoutDatabase(async (cut) => {
      Reflect.set(globalThis, FAULT_POINT, async (name: string) => {
        if (name === 'order.t1.after_commit') await cut()
      })
      const answer = await scene.place(orderId, { headers: { 'x-request-deadline-ms': '700' } })
      expect(answer.statusCode).toBe(202)
      expect(answer.json()).toMatchObject({ state: 'pending' })
    })
  })

  test('is answered with 202 when a step fails in an unforeseen way', async () => {
    Reflect.set(globalThis, FAULT_POINT, (name: string) => {
      if (name === 'order.charge.answered') throw new Error('unforeseen')
    })
    const key = randomUUID()
    const answer = await scene.place(key)
    expect(answer.statusCode).toBe(202)
    expect(answer.body).not.toContain('unforeseen')
    Reflect.deleteProperty(globalThis, FAULT_POINT)
    await scene.recoverTo(key, 'confirmed')
  })

  test('is never charged where acceptance was not committed', async () => {
    Reflect.set(globalThis, FAULT_POINT, (name: string) => {
      if (name === 'order.t1.before') throw new Error('crash')
    })
    const key = randomUUID()
    expect((await scene.place(key)).statusCode).toBe(500)
    expect(scene.commands(key)).toEqual([])
  })
})
