import { randomUUID } from 'node:crypto'
import { eventually, json } from '@oms/chassis/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createOutbox } from '../src/adapters/outbox.ts'
import type { OrderApp } from '../src/app.ts'
import { createScene, problem, type Scene, type Script } from './scene.ts'

const FAULT_POINT = Symbol.for('oms.fault-point')

let scene: Scene
beforeAll(async () => {
  scene = await createScene()
})
afterAll(() => scene.close())
afterEach(() => {
  Reflect.deleteProperty(globalThis, FAULT_POINT)
})
beforeEach(async () => {
  scene.approve()
  await scene.admin.query('TRUNCATE oms.orders, oms.outbox, oms.order_event, oms.event_tail')
})

interface Connection {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: unknown[] }>
}

interface Event {
  readonly seq: number
  readonly type: string
  readonly order_id: string
}

async function feed(tenant = 'acme', query = 'limit=100'): Promise<readonly Event[]> {
  const answer = await scene.send('GET', `/api/v1/orders/events?${query}`, {
    'x-tenant-id': tenant,
  })
  expect(answer.statusCode).toBe(200)
  return answer.json().items
}

/** An event that waits, without the trouble of an order. */
async function waiting(tenant: string, type: string, orders: number): Promise<readonly string[]> {
  const { rows } = await scene.admin.query(
    `INSERT INTO oms.outbox (tenant_id, order_id, type, body)
     SELECT $1, gen_random_uuid(), $2, '{"state":"x","currency":"EUR","amount_minor":1}' FROM generate_series(1, $3)
     RETURNING order_id`,
    [tenant, type, orders],
  )
  return rows.map(({ order_id }) => order_id)
}

const letRetry = () => scene.admin.query('UPDATE oms.outbox SET next_try_at = now()')

/** Settles what a test names with other states, the rest as committed. */
const settles =
  (states: Readonly<Record<string, string | undefined>>): Script =>
  (response, _id, { body }) =>
    json(response, 200, {
      items: (body as { order_ids: readonly string[] }).order_ids.flatMap((order_id) => {
        const state = order_id in states ? states[order_id] : 'committed'
        return state === undefined ? [] : [{ order_id, state }]
      }),
    })

describe('an order that ended', () => {
  test.each<[string, Partial<Record<'reserve' | 'charge', Script>>]>([
    ['confirmed', {}],
    [
      'rejected',
      {
        reserve: (response, id) =>
          problem(response, 409, 'out-of-stock', id, { unavailable_skus: [] }),
      },
    ],
    ['declined', { charge: (response, id) => problem(response, 402, 'payment-declined', id) }],
  ])('as %s is announced once, however often it is asked for', async (state, scripts) => {
    for (const [endpoint, script] of Object.entries(scripts))
      scene.on(endpoint as 'reserve', script)
    const key = randomUUID()
    await scene.place(key)
    await scene.place(key)
    await scene.cancel(key)
    await scene.app.relay()
    await scene.place(key)
    await letRetry()
    await scene.app.relay()
    expect(await feed()).toEqual([
      {
        seq: 1,
        type: `order.${state}`,
        order_id: key,
        body: { state, currency: 'EUR', amount_minor: 3780 },
        created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      },
    ])
    expect(await scene.outbox(key)).toEqual([])
  })

  test('as cancelled is announced once', async () => {
    const orderId = await scene.given()
    await scene.cancel(orderId)
    await scene.cancel(orderId)
    await scene.app.relay()
    expect(await feed()).toMatchObject([{ type: 'order.cancelled', order_id: orderId }])
  })

  test('is not announced before it ended', async () => {
    scene.on('charge', (response) => response.writeHead(503).end())
    await scene.place(randomUUID())
    await scene.app.relay()
    expect(await feed()).toEqual([])
  })
})

describe('the relay', () => {
  test('settles each tenant’s confirmed orders in one call, before it publishes them', async () => {
    const acme = await waiting('acme', 'order.confirmed', 5)
    const globex = await waiting('globex', 'order.confirmed', 3)
    await waiting('acme', 'order.declined', 2)
    const publishedAtSettle: number[] = []
    scene.on('settle', (response, id, request) => {
      void scene.admin.query('SELECT count(*)::int AS n FROM oms.order_event').then(({ rows }) => {
        publishedAtSettle.push(rows[0].n)
        settles({})(response, id, request)
      })
    })
    await scene.app.relay()
    const calls = scene.sent.map(({ headers, body }) => [
      headers['x-tenant-id'],
      new Set((body as { order_ids: readonly string[] }).order_ids),
    ])
    expect(calls).toHaveLength(2)
    expect(calls).toContainEqual(['acme', new Set(acme)])
    expect(calls).toContainEqual(['globex', new Set(globex)])
    // Only the declined ones, which need no settling, may be out by then.
    expect(Math.min(...publishedAtSettle)).toBe(0)
    expect(await feed('acme')).toHaveLength(7)
    expect(await feed('globex')).toHaveLength(3)
  })

  test.each([
    ['released', 'released'],
    ['rejected', 'rejected'],
    ['held', 'held'],
    ['missing', undefined],
  ])(
    'calls for a person where a confirmed order’s reservation is %s; the others are published',
    async (what, state) => {
      const [bad = '', ...good] = await waiting('acme', 'order.confirmed', 4)
      const declined = await waiting('acme', 'order.declined', 1)
      scene.on('settle', settles({ [bad]: state }))
      await scene.app.relay()
      expect(scene.errors(bad)).toMatchObject([{ reservation: what }])
      expect(await scene.outbox(bad)).toEqual(['order.confirmed'])
      const out = await feed()
      expect(new Set(out.map(({ order_id }) => order_id))).toEqual(new Set([...good, ...declined]))
      expect(out.map(({ seq }) => seq)).toEqual([1, 2, 3, 4])
      // Tried again after 5 s, not before.
      scene.approve()
      await scene.app.relay()
      expect(scene.sent).toEqual([])
      await letRetry()
      await scene.app.relay()
      expect((await feed()).at(-1)).toMatchObject({ seq: 5, order_id: bad })
    },
  )

  test.each<[string, Script]>([
    ['503', (response) => response.writeHead(503).end()],
    ['a reset', (response) => response.destroy()],
    ['HTML', (response) => response.writeHead(200).end('<html>')],
  ])(
    'publishes nothing of a tenant whose settle tells nothing (%s), and all of the others',
    async (_what, script) => {
      await waiting('acme', 'order.confirmed', 2)
      await waiting('globex', 'order.confirmed', 2)
      scene.on('settle', (response, id, request) =>
        request.headers['x-tenant-id'] === 'acme'
          ? script(response, id, request)
          : settles({})(response, id, request),
      )
      await scene.app.relay()
      expect(await feed('acme')).toEqual([])
      expect(await feed('globex')).toHaveLength(2)
      scene.approve()
      await letRetry()
      await scene.app.relay()
      expect((await feed('acme')).map(({ seq }) => seq)).toEqual([1, 2])
    },
  )

  test.each(['order.relay.claimed', 'order.relay.settled', 'order.relay.published'])(
    'that dies at %s announces each order once all the same',
    async (point) => {
      await waiting('acme', 'order.confirmed', 3)
      Reflect.set(globalThis, FAULT_POINT, (name: string) => {
        if (name === point) throw new Error('crash')
      })
      await scene.app.relay()
      Reflect.deleteProperty(globalThis, FAULT_POINT)
      await letRetry()
      await scene.app.relay()
      await scene.other().relay()
      const out = await feed()
      expect(out.map(({ seq }) => seq)).toEqual([1, 2, 3])
      expect(new Set(out.map(({ order_id }) => order_id)).size).toBe(3)
    },
  )

  test('takes at most 128 events in one pass', async () => {
    await waiting('acme', 'order.confirmed', 130)
    await scene.app.relay()
    expect(
      scene.sent.map(({ body }) => (body as { order_ids: object[] }).order_ids.length),
    ).toEqual([128])
    await scene.app.relay()
    expect((await scene.admin.query('SELECT FROM oms.outbox')).rowCount).toBe(0)
  })

  test('numbers without gaps, however many publish: 300 events of 3 tenants, 4 relays, a reader beside', async () => {
    const tenants = ['acme', 'globex', 'initech']
    for (const tenant of tenants) await waiting(tenant, 'order.confirmed', 100)
    await scene.warmBoth()
    /** What was once read never changes: no page gains an earlier number later. */
    const seen: Event[] = []
    async function read(): Promise<void> {
      while (seen.length < 100)
        seen.push(...(await feed('acme', `after=${seen.at(-1)?.seq ?? 0}&limit=7`)))
    }
    async function work({ relay }: OrderApp): Promise<void> {
      for (let pass = 0; pass < 6; pass++) await relay()
    }
    const other = scene.other()
    await Promise.all([read(), work(scene.app), work(other), work(scene.app), work(other)])
    const { rows } = await scene.admin.query(
      `SELECT tenant_id, count(*)::int AS n, min(seq)::int AS first, max(seq)::int AS last,
              count(DISTINCT order_id)::int AS orders FROM oms.order_event GROUP BY 1 ORDER BY 1`,
    )
    expect(rows).toEqual(
      tenants.map((tenant_id) => ({ tenant_id, n: 100, first: 1, last: 100, orders: 100 })),
    )
    expect((await scene.admin.query('SELECT FROM oms.outbox')).rowCount).toBe(0)
    expect(seen.map(({ seq }) => seq)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
    expect(seen).toEqual(await feed())
  })

  test('that publishes beside another waits for it and numbers on from there', async () => {
    const ids = await waiting('acme', 'order.declined', 3)
    const publish = (connection: Connection, order: number) =>
      connection.query(
        "SELECT published::int FROM oms.publish('acme', ARRAY[$1::uuid], '{order.declined}')",
        [ids[order]],
      )
    const holder = await scene.admin.connect()
    const first = await scene.admin.connect()
    const second = await scene.admin.connect()
    await publish(first, 0)
    // The first publisher is held up after it has read the tail.
    await holder.query('BEGIN')
    await holder.query('SELECT FROM oms.outbox WHERE order_id = $1 FOR UPDATE', [ids[1]])
    const waiters = (count: number) =>
      eventually(`${count} wait`, async () => {
        const { rows } = await scene.admin.query(
          "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        return rows.length === count
      })
    const publishing = [publish(first, 1)]
    await waiters(1)
    publishing.push(publish(second, 2))
    await waiters(2)
    await holder.query('ROLLBACK')
    const published = await Promise.all(publishing)
    expect(published.map(({ rows }) => rows)).toEqual([[{ published: 1 }], [{ published: 1 }]])
    for (const connection of [holder, first, second]) connection.release()
    expect((await feed()).map(({ seq, order_id }) => [seq, order_id])).toEqual([
      [1, ids[0]],
      [2, ids[1]],
      [3, ids[2]],
    ])
  })

  test('that publishes what another published numbers nothing twice: 12 at once, the same 20 events', async () => {
    await waiting('acme', 'order.declined', 20)
    const { rows } = await scene.admin.query(
      'SELECT array_agg(order_id) AS ids, array_agg(type) AS types FROM oms.outbox',
    )
    const [{ ids, types }] = rows as [{ ids: string[]; types: string[] }]
    const events = ids.map((orderId, i) => ({ tenantId: 'acme', orderId, type: types[i] ?? '' }))
    const published: number[] = []
    const outbox = createOutbox({
      async call(statement, values) {
        const result = await scene.admin.query(statement.text, values as unknown[])
        published.push(Number(result.rows[0].published))
        return result.rows
      },
      one: () => Promise.reject(new Error('not used')),
    })
    await Promise.all(Array.from({ length: 12 }, () => outbox.publish('acme', events)))
    expect(published.toSorted((a, b) => b - a)).toEqual([20, ...Array(11).fill(0)])
    expect((await feed()).map(({ seq }) => seq)).toEqual(
      Array.from({ length: 20 }, (_, i) => i + 1),
    )
  })
})

describe('GET /api/v1/orders/events', () => {
  test('pages by the last number read, and can be read again', async () => {
    await waiting('acme', 'order.declined', 25)
    await scene.app.relay()
    const page = async (query: string) =>
      (await scene.send('GET', `/api/v1/orders/events${query}`)).json()
    const first = await page('')
    expect(first.items.map(({ seq }) => seq)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
    expect(first.last_seq).toBe(20)
    const second = await page('?after=20')
    expect(second.items).toHaveLength(5)
    expect(second.last_seq).toBe(25)
    expect(await page('?after=25&limit=100')).toEqual({ items: [], last_seq: 25 })
    expect(await page('?after=3&limit=1')).toEqual({ items: [first.items[3]], last_seq: 4 })
    expect(await page('')).toEqual(first)
  })

  test('shows each tenant its own events under its own numbers', async () => {
    const mine = await waiting('acme', 'order.declined', 2)
    const theirs = await waiting('globex', 'order.declined', 1)
    await scene.app.relay()
    expect(new Set((await feed('acme')).map(({ order_id }) => order_id))).toEqual(new Set(mine))
    expect(await feed('globex')).toMatchObject([{ seq: 1, order_id: theirs[0] }])
    expect(await feed('initech')).toEqual([])
  })

  test.each([
    'limit=0',
    'limit=101',
    'limit=abc',
    'limit=1.5',
    'limit=1&limit=2',
    'after=-1',
    'after=x',
    'after=1e400',
    'after=9007199254740993',
    'before=3',
  ])('refuses ?%s', async (query) => {
    const answer = await scene.send('GET', `/api/v1/orders/events?${query}`)
    expect(answer.statusCode).toBe(400)
    expect(answer.json().type).toBe('https://oms.example/problems/invalid-request')
  })
})

describe('the reservation verdict', () => {
  const FINAL = { next_run_at: 'NULL', finished_at: 'now()', payment_token: 'NULL' }

  test.each<[string, string, Record<string, string>]>([
    ['commit', '100', { verdict: "'captured'", ...FINAL }],
    ['release', '110', FINAL],
    ['release', '120', { verdict: "'declined'", ...FINAL }],
    ['release', '130', { verdict: "'voided'", ...FINAL }],
    ['keep', '10', {}],
    ['keep', '30', {}],
    ['keep', '35', { verdict: "'captured'", cancel_requested_at: 'now()' }],
    ['keep', '40', { verdict: "'declined'" }],
    ['keep', '20', {}],
  ])('is %s for an order in %s, and changes nothing', async (verdict, state, fields) => {
    const orderId = await scene.given({ state, ...fields })
    const before = await scene.row(orderId)
    const answer = await scene.verdict(orderId, { 'x-order-id': orderId })
    expect(answer.statusCode).toBe(200)
    expect(answer.json()).toEqual({ order_id: orderId, verdict })
    expect({ ...(await scene.row(orderId)), runs_in: 0 }).toEqual({ ...before, runs_in: 0 })
  })

  test('is keep for an unknown order, which gets a tombstone that the driver brings to its end', async () => {
    const orderId = randomUUID()
    for (let i = 0; i < 3; i++)
      expect((await scene.verdict(orderId)).json()).toEqual({ order_id: orderId, verdict: 'keep' })
    expect(await scene.row(orderId)).toMatchObject({
      state: 10,
      fp: null,
      lines: [],
      currency: '',
      amount_minor: '0',
      cancel_requested_at: expect.any(Date),
      attempt: 0,
    })
    await scene.app.recover()
    expect(scene.commands(orderId)).toEqual(['void', 'release'])
    expect(await scene.row(orderId)).toMatchObject({ state: 130, reason: 'cancelled_by_client' })
    expect((await scene.verdict(orderId)).json().verdict).toBe('release')
    const late = await scene.place(orderId)
    expect(late.statusCode).toBe(409)
    expect(late.json().type).toBe('https://oms.example/problems/order-cancelled')
    expect(scene.commands(orderId)).not.toContain('reserve')
    await scene.app.relay()
    expect(await feed()).toMatchObject([{ type: 'order.cancelled', order_id: orderId }])
    expect((await scene.read(orderId)).json()).toMatchObject({
      state: 'cancelled',
      lines: [],
      amount_minor: 0,
    })
  })

  test('refunds what a lost order had captured', async () => {
    const orderId = randomUUID()
    await scene.verdict(orderId)
    scene.on('void', (response, id) =>
      json(response, 200, {
        order_id: id,
        state: 'captured',
        currency: 'EUR',
        amount_minor: 3780,
        psp_ref: 'ch_1',
        decline_code: null,
        refund_no: 0,
        created_at: '2026-01-01T00:00:00.000Z',
        decided_at: null,
      }),
    )
    await scene.app.recover()
    expect(scene.commands(orderId)).toEqual(['void', 'refund', 'release'])
    expect(await scene.row(orderId)).toMatchObject({ state: 130, verdict: 'refunded' })
  })

  test('that is asked by many at once makes one tombstone', async () => {
    const orderId = randomUUID()
    const answers = await Promise.all(Array.from({ length: 8 }, () => scene.verdict(orderId)))
    expect(answers.map((answer) => answer.json().verdict)).toEqual(Array(8).fill('keep'))
    expect(await scene.orders()).toBe(1)
  })

  test('of one tenant says nothing of another’s order', async () => {
    const orderId = await scene.given()
    const answer = await scene.verdict(orderId, { 'x-tenant-id': 'globex' })
    expect(answer.json()).toEqual({ order_id: orderId, verdict: 'keep' })
    expect((await scene.row(orderId)).cancel_requested_at).toBeNull()
  })

  test('refuses ids that do not agree', async () => {
    const orderId = randomUUID()
    expect((await scene.verdict(orderId, { 'x-order-id': randomUUID() })).statusCode).toBe(400)
    expect(await scene.orders()).toBe(0)
  })
})
