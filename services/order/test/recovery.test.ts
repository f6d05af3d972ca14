import { randomUUID } from 'node:crypto'
import { stopOnce } from '@oms/chassis/lifecycle'
import { eventually } from '@oms/chassis/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { createScene, payment, type Scene, type Script } from './scene.ts'

const FAULT_POINT = Symbol.for('oms.fault-point')

let scene: Scene
beforeAll(async () => {
  scene = await createScene()
})
afterAll(() => scene.close())
beforeEach(async () => {
  scene.approve()
  // No order of another test is due.
  await scene.admin.query('TRUNCATE oms.orders, oms.outbox')
})
afterEach(() => {
  Reflect.deleteProperty(globalThis, FAULT_POINT)
  vi.useRealTimers()
})

const failing: Script = (response) => response.writeHead(503).end()
const DUE = { next_run_at: 'now()' }
const LATE = { decide_at: "now() - interval '1 ms'" }

/** SQL of defer, as the service's role. */
async function deferred(orderId: string): Promise<number> {
  const order = await scene.app.orders.find({ tenantId: 'acme', orderId })
  if (order === undefined) throw new Error('no such order')
  await scene.app.orders.defer(order, { charged: false, soon: false })
  return (await scene.row(orderId)).runs_in ?? 0
}

describe('an accepted order', () => {
  test('has a lease of 12 s and is decided within 60 s', async () => {
    let reserved: () => void = () => undefined
    scene.on('reserve', (response) => {
      reserved = () => response.writeHead(503).end()
    })
    const key = randomUUID()
    await scene.place(key, { headers: { 'x-request-deadline-ms': '60' } })
    const row = await scene.row(key)
    expect(row.runs_in).toBeGreaterThan(11)
    expect(row.runs_in).toBeLessThanOrEqual(12)
    const { rows } = await scene.admin.query(
      'SELECT extract(epoch FROM decide_at - created_at)::float AS s FROM oms.orders WHERE order_id = $1',
      [key],
    )
    expect(rows[0].s).toBe(60)
    reserved()
  })

  test('whose process died goes on where its row stands, in another replica', async () => {
    const orderId = await scene.given(DUE)
    await scene.other().recover()
    expect(scene.commands(orderId)).toEqual(['reserve', 'charge'])
    expect((await scene.row(orderId)).state).toBe(100)
  })

  test('is left alone while its lease lasts', async () => {
    const orderId = await scene.given({ next_run_at: "now() + interval '1 s'" })
    await scene.app.recover()
    expect(scene.commands(orderId)).toEqual([])
    expect((await scene.row(orderId)).attempt).toBe(0)
  })

  test('is driven under its own tenant', async () => {
    const orderId = await scene.given(DUE, 'globex')
    await scene.app.recover()
    expect((await scene.row(orderId, 'globex')).state).toBe(100)
    expect(new Set(scene.sent.map(({ headers }) => headers['x-tenant-id']))).toEqual(
      new Set(['globex']),
    )
  })

  test('that another fails beside is not held up by it', async () => {
    const broken = await scene.given(DUE)
    const fine = await scene.given(DUE)
    Reflect.set(globalThis, FAULT_POINT, (name: string) => {
      if (name === 'order.reserve.sent' && !seen.has(name)) {
        seen.add(name)
        throw new Error('unforeseen')
      }
    })
    const seen = new Set<string>()
    await scene.app.recover()
    const states = [(await scene.row(broken)).state, (await scene.row(fine)).state]
    expect(states.toSorted((a, b) => a - b)).toEqual([10, 100])
    expect(await scene.metric('sweeper_passes_total', 'outcome="failed"')).toBe(0)
  })
})

describe('past decide_at', () => {
  test('an order without a verdict is voided and released', async () => {
    const orderId = await scene.given({ ...DUE, ...LATE, state: '30' })
    await scene.app.recover()
    expect(scene.commands(orderId)).toEqual(['void', 'release'])
    expect(await scene.row(orderId)).toMatchObject({
      state: 130,
      verdict: 'voided',
      reason: 'timed_out',
    })
  })

  test('an order that turns out captured is confirmed', async () => {
    scene.on('void', (response, id) => payment(response, 200, id))
    const orderId = await scene.given({ ...DUE, ...LATE })
    await scene.app.recover()
    expect(scene.commands(orderId)).toEqual(['void'])
    expect((await scene.row(orderId)).state).toBe(100)
  })

  test('a charge under way is asked about again after a second', async () => {
    scene.on('void', (response, id) => payment(response, 202, id, { state: 'processing' }))
    const orderId = await scene.given({ ...DUE, ...LATE, state: '30' })
    await scene.app.recover()
    const { state, runs_in } = await scene.row(orderId)
    expect(state).toBe(30)
    expect(runs_in).toBeGreaterThan(0.7)
    expect(runs_in).toBeLessThanOrEqual(1)
  })
})

describe('the process’s clock', () => {
  test.each([-1, 1])('wrong by %i h moves no lease, no decision and no backoff', async (hours) => {
    vi.useFakeTimers({ toFake: ['Date'] })
    vi.setSystemTime(Date.now() + hours * 3_600_000)
    const undue = await scene.given({ next_run_at: "now() + interval '2 s'" })
    const late = await scene.given({ ...DUE, ...LATE })
    const undecided = await scene.given(DUE)
    scene.on('charge', failing)
    await scene.app.recover()
    expect(scene.commands(undue)).toEqual([])
    expect(scene.commands(late)).toEqual(['void', 'release'])
    expect(scene.commands(undecided)).toEqual(['reserve', 'charge'])
    const { runs_in } = await scene.row(undecided)
    expect(runs_in).toBeGreaterThan(0)
    expect(runs_in).toBeLessThanOrEqual(1.5)
    scene.approve()
    const key = randomUUID()
    scene.on('charge', failing)
    await scene.place(key)
    const { created_at: created } = (
      await scene.admin.query(
        'SELECT abs(extract(epoch FROM created_at - now())) < 60 AS created_at FROM oms.orders WHERE order_id = $1',
        [key],
      )
    ).rows[0]
    expect(created).toBe(true)
    await scene.letLeaseEnd(key)
    await scene.admin.query('UPDATE oms.orders SET decide_at = now() WHERE order_id = $1', [key])
    scene.approve()
    await scene.app.recover()
    expect((await scene.row(key)).state).toBe(130)
  })
})

describe('the backoff', () => {
  test('doubles from 0.5 s, spread by half, and never exceeds 15 s', async () => {
    for (let attempt = 0; attempt <= 30; attempt++) {
      const mean = Math.min(10, 0.5 * 2 ** attempt)
      const orderId = await scene.given({ attempt: String(attempt) })
      for (let i = 0; i < 4; i++) {
        const seconds = await deferred(orderId)
        // The row is read a moment after it was written.
        expect(seconds).toBeGreaterThan(mean * 0.5 - 0.2)
        expect(seconds).toBeLessThanOrEqual(mean * 1.5)
      }
    }
  })

  test('never falls below 0.25 s', async () => {
    const orderId = await scene.given()
    const { rows } = await scene.admin.query(
      `SELECT min(wait)::float AS least, max(wait)::float AS most FROM generate_series(1, 200),
        LATERAL (SELECT extract(epoch FROM (entity->>'next_run_at')::timestamptz - now()) AS wait
                   FROM oms.defer_order('acme', $1, false, generate_series > 200)) d`,
      [orderId],
    )
    expect(rows[0].least).toBeGreaterThanOrEqual(0.25)
    expect(rows[0].least).toBeLessThan(0.35)
    expect(rows[0].most).toBeLessThanOrEqual(0.75)
    expect(rows[0].most).toBeGreaterThan(0.65)
  })

  test('keeps lease, sweep and pause together below the 30 s that an end may take', () => {
    expect(12 + 1.2 + 15).toBeLessThan(30)
  })

  test.each([
    [20, 1],
    [19, 0],
  ])('after attempt %i and one more calls for a person %i times', async (attempt, alerts) => {
    scene.on('reserve', failing)
    const orderId = await scene.given({ ...DUE, attempt: String(attempt) })
    await scene.app.recover()
    expect(scene.errors(orderId)).toHaveLength(alerts)
    if (alerts > 0)
      expect(scene.errors(orderId)[0]).toMatchObject({ msg: 'order without an end', attempt: 21 })
  })
})

describe('claiming', () => {
  test('by two replicas gives no order twice within its lease', async () => {
    await scene.warmBoth()
    const ids = new Set<string>()
    for (let i = 0; i < 60; i++) ids.add(await scene.given(DUE))
    const claims = await Promise.all(
      Array.from({ length: 12 }, (_, i) =>
        (i % 2 === 0 ? scene.app : scene.other()).orders.claimDue(7),
      ),
    )
    const claimed = claims.flat().map(({ orderId }) => orderId)
    expect(new Set(claimed).size).toBe(claimed.length)
    expect(new Set(claimed)).toEqual(ids)
    for (const id of ids) {
      const { attempt, runs_in } = await scene.row(id)
      expect(attempt).toBe(1)
      expect(runs_in).toBeGreaterThan(10)
    }
  })

  test('takes no more than asked, oldest first', async () => {
    const late = await scene.given({ next_run_at: "now() - interval '5 s'" })
    const later = await scene.given({ next_run_at: "now() - interval '9 s'" })
    await scene.given({ next_run_at: "now() - interval '1 s'" })
    const claimed = await scene.app.orders.claimDue(2)
    expect(new Set(claimed.map(({ orderId }) => orderId))).toEqual(new Set([late, later]))
  })

  test('steps over rows that somebody holds', async () => {
    const held = await scene.given({ next_run_at: "now() - interval '5 s'" })
    const free = await scene.given(DUE)
    const client = await scene.admin.connect()
    await client.query('BEGIN')
    await client.query('SELECT FROM oms.orders WHERE order_id = $1 FOR UPDATE', [held])
    const from = performance.now()
    const claimed = await scene.app.orders.claimDue(5)
    expect(performance.now() - from).toBeLessThan(350)
    await client.query('ROLLBACK')
    client.release()
    expect(claimed).toEqual([{ tenantId: 'acme', orderId: free }])
  })

  test('finds its orders by the index of due ones', async () => {
    const client = await scene.admin.connect()
    await client.query('BEGIN')
    await client.query('SET LOCAL enable_seqscan = off')
    const { rows } = await client.query(
      'EXPLAIN SELECT FROM oms.orders WHERE state IN (10, 30, 35, 40) AND next_run_at <= now() ORDER BY next_run_at LIMIT 16',
    )
    await client.query('ROLLBACK')
    client.release()
    expect(JSON.stringify(rows)).toContain('orders_due')
  })

  test('takes no more than the loops’ share of permits: 11 of 120', async () => {
    for (let i = 0; i < 14; i++) await scene.given(DUE)
    scene.on('reserve', failing)
    await scene.app.recover()
    expect(new Set(scene.sent.map(({ orderId }) => orderId)).size).toBe(11)
  })
})

describe('two drivers on one order', () => {
  test('do no harm: one end, one event, the same answer', async () => {
    const orderId = await scene.given({ fp: 'NULL', ...DUE })
    let answers: (() => void)[] = []
    scene.on('charge', (response, id) => {
      answers.push(() => payment(response, 201, id))
    })
    const first = scene.app.recover()
    await eventually('the first charge', () => answers.length === 1)
    await scene.letLeaseEnd(orderId)
    const second = scene.place(orderId, { on: scene.other() })
    await eventually('the second charge', () => answers.length === 2)
    for (const answer of answers) answer()
    answers = []
    const [, answer] = await Promise.all([first, second])
    expect(answer.statusCode).toBe(201)
    expect((await scene.row(orderId)).state).toBe(100)
    expect(await scene.outbox(orderId)).toEqual(['order.confirmed'])
  })

  test('that both learn nothing move it to 30 once, and count it once', async () => {
    const orderId = await scene.given({ fp: 'NULL', ...DUE })
    const answers: (() => void)[] = []
    scene.on('charge', (response) => {
      answers.push(() => response.writeHead(503).end())
    })
    const labels = 'from="pending",to="payment_unknown"'
    const count = async () =>
      (await scene.metric('order_transitions_total', labels)) +
      (await scene.metric('order_transitions_total', labels, scene.other()))
    const before = await count()
    const first = scene.app.recover()
    await eventually('the first charge', () => answers.length === 1)
    await scene.letLeaseEnd(orderId)
    const second = scene.place(orderId, { on: scene.other() })
    await eventually('the second charge', () => answers.length === 2)
    for (const answer of answers) answer()
    await Promise.all([first, second])
    expect((await scene.row(orderId)).state).toBe(30)
    expect((await count()) - before).toBe(1)
  })
})

describe('a stop', () => {
  test('gives the leases of unfinished passes back, so that another replica goes on at once', async () => {
    const leaving = scene.replica()
    let answer: () => void = () => undefined
    scene.on('charge', (response, id) => {
      answer = () => payment(response, 201, id)
    })
    const key = randomUUID()
    const placed = scene.place(key, { on: leaving })
    await eventually('the charge is sent', () => scene.commands(key).includes('charge'))
    expect((await scene.row(key)).runs_in).toBeGreaterThan(5)
    const stopped = stopOnce(leaving.server, 0)()
    await eventually('the lease is back', async () => ((await scene.row(key)).runs_in ?? 1) <= 0)
    scene.approve()
    await scene.app.recover()
    expect((await scene.row(key)).state).toBe(100)
    answer()
    // The caller of the leaving replica still hears the end.
    expect((await placed).statusCode).toBe(201)
    await stopped
  })

  test('gives back nothing that ended or that it never drove', async () => {
    const leaving = scene.replica()
    await scene.place(randomUUID(), { on: leaving })
    const other = await scene.given()
    await stopOnce(leaving.server, 0)()
    expect((await scene.row(other)).runs_in).toBeGreaterThan(5)
  })
})

describe('a state that a newer version wrote', () => {
  const NEWER = { state: '20', ...DUE }

  test('is touched by no sweep, deferral, cancel, POST or stop, and holds up nobody', async () => {
    const newer = await scene.given({ ...NEWER, fp: 'NULL' })
    const mine = await scene.given(DUE)
    const before = await scene.row(newer)
    await scene.app.recover()
    expect((await scene.row(mine)).state).toBe(100)
    const key = { tenantId: 'acme', orderId: newer }
    await scene.cancel(newer)
    await scene.place(newer)
    await scene.app.orders.returnLeases([key])
    await scene.admin.query("SELECT FROM oms.defer_order('acme', $1, true, true)", [newer])
    expect({ ...(await scene.row(newer)), runs_in: null }).toEqual({ ...before, runs_in: null })
    expect(scene.commands(newer)).toEqual([])
    expect((await scene.verdict(newer)).json().verdict).toBe('keep')
  })

  test('is busy to whoever asks for that order: another replica may be able to read it', async () => {
    const newer = await scene.given({ ...NEWER, fp: 'NULL' })
    for (const answer of [
      await scene.read(newer),
      await scene.cancel(newer),
      await scene.place(newer),
    ]) {
      expect(answer.statusCode).toBe(409)
      expect(answer.headers['retry-after']).toBe('1')
      expect(answer.json()).toMatchObject({
        type: 'https://oms.example/problems/busy',
        order_id: newer,
      })
    }
  })

  test('is left out of listings, which go on behind it', async () => {
    const ids: string[] = []
    for (const [second, state] of [
      [1, '10'],
      [2, '20'],
      [3, '10'],
    ] as const)
      ids.push(await scene.given({ state, created_at: `'2020-01-01T00:00:0${second}Z'` }))
    const first = await scene.send('GET', '/api/v1/orders?limit=2')
    expect(first.statusCode).toBe(200)
    expect(first.json().items.map(({ order_id }) => order_id)).toEqual([ids[2]])
    const second = await scene.send(
      'GET',
      `/api/v1/orders?limit=2&cursor=${first.json().next_cursor}`,
    )
    expect(second.json().items.map(({ order_id }) => order_id)).toEqual([ids[0]])
  })

  test('is counted as unknown', async () => {
    await scene.given(NEWER)
    expect(await scene.metric('orders_unfinished', 'state="unknown"')).toBe(1)
  })
})
