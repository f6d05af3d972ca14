import { randomUUID } from 'node:crypto'
import { startLoops } from '@oms/chassis/lifecycle'
import { eventually, json } from '@oms/chassis/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { line, type Service, startService, whileOpen } from './service.ts'

let service: Service

beforeAll(async () => {
  service = await startService({ EXPIRY_INTERVAL_MS: '10' })
})

afterAll(async () => {
  await service.stop()
})

beforeEach(() => {
  service.orders.received.length = 0
  service.alerts.length = 0
  says('keep')
})

// What a test left held must not be asked about in the next.
afterEach(async () => {
  await service.database.admin.query(
    `UPDATE oms.reservation SET expires_at = '2100-01-01' WHERE state = 1`,
  )
})

function says(verdict: string): void {
  service.orders.answer(({ headers }, response) =>
    json(response, 200, { order_id: headers['x-order-id'], verdict }),
  )
}

/** What happens between the question and the answer. */
function saysAfter(work: () => Promise<unknown>, verdict: string): void {
  service.orders.answer(({ headers }, response) => {
    void work().then(() => json(response, 200, { order_id: headers['x-order-id'], verdict }))
  })
}

/** A reservation whose time is over. */
async function expired(sku: string, tenant = 'acme'): Promise<string> {
  const order = randomUUID()
  await service.reserve(order, [line(sku)], { 'x-tenant-id': tenant })
  await service.database.admin.query(
    `UPDATE oms.reservation SET expires_at = now() - interval '1 s' WHERE order_id = $1`,
    [order],
  )
  return order
}

/** One that was made so long ago. */
async function old(interval: string): Promise<string> {
  const order = randomUUID()
  await service.database.admin.query(
    `INSERT INTO oms.reservation (tenant_id, order_id, fp, state, expires_at, created_at)
       VALUES ('acme', $1, '\\x00', 1, now(), now() - $2::interval)`,
    [order, interval],
  )
  return order
}

/** Seconds until order-service is asked again. */
async function againIn(order: string): Promise<number> {
  const { rows } = await service.database.admin.query(
    'SELECT extract(epoch FROM expires_at - now())::float AS s FROM oms.reservation WHERE order_id = $1',
    [order],
  )
  return rows[0].s
}

describe('an expired reservation', () => {
  test('is asked about under its tenant, with ids that agree', async () => {
    const order = await expired(await service.sku(5, 'globex'), 'globex')
    await service.app.expire()
    expect(service.orders.received).toHaveLength(1)
    expect(service.orders.received[0]).toMatchObject({
      method: 'POST',
      path: `/internal/v1/orders/${order}/reservation-verdict`,
      headers: { 'x-tenant-id': 'globex', 'x-order-id': order, 'idempotency-key': order },
      body: {},
    })
    expect(Number(service.orders.received[0]?.headers['x-request-deadline-ms'])).toBeGreaterThan(0)
  })

  test('is committed where the order is confirmed', async () => {
    says('commit')
    const sku = await service.sku(5)
    const order = await expired(sku)
    await service.app.expire()
    expect(await service.row(order)).toMatchObject({ state: 2 })
    expect(await service.level(sku)).toEqual({ available: 4, reserved: 0, sold: 1 })
    expect(service.alerts).toEqual([])
  })

  test('is released where the order failed', async () => {
    says('release')
    const sku = await service.sku(5)
    const order = await expired(sku)
    await service.app.expire()
    expect(await service.row(order)).toMatchObject({ state: 3 })
    expect(await service.level(sku)).toEqual({ available: 5, reserved: 0, sold: 0 })
  })

  test('is kept where the order goes on, and asked about again after 60 s', async () => {
    const sku = await service.sku(5)
    const order = await expired(sku)
    await service.app.expire()
    await service.app.expire()
    expect(service.orders.received).toHaveLength(1)
    expect(await service.row(order)).toMatchObject({ state: 1 })
    expect(await againIn(order)).toBeGreaterThan(50)
    expect(await againIn(order)).toBeLessThanOrEqual(60)
    expect(await service.level(sku)).toEqual({ available: 4, reserved: 1, sold: 0 })
    expect(service.alerts).toEqual([])
  })

  test('is asked about again when the process dies between answer and deed', async () => {
    says('release')
    const sku = await service.sku(5)
    const order = await expired(sku)
    const hooks = globalThis as { [name: symbol]: unknown }
    const hook = Symbol.for('oms.fault-point')
    hooks[hook] = (name: string) => {
      if (name === 'inventory.expiry.answered') throw new Error('crash')
    }
    await service.app.expire().finally(() => delete hooks[hook])
    expect(service.orders.received).toHaveLength(1)
    expect(await service.row(order)).toMatchObject({ state: 1 })
    await service.database.admin.query(
      'UPDATE oms.reservation SET expires_at = now() WHERE order_id = $1',
      [order],
    )
    await service.app.expire()
    expect(await service.level(sku)).toEqual({ available: 5, reserved: 0, sold: 0 })
  })

  type Respond = Parameters<Service['orders']['answer']>[0]
  test.each<[string, Respond]>([
    ['a 500', (_request, response) => json(response, 500, { verdict: 'release' })],
    ['a 404', (_request, response) => json(response, 404, { verdict: 'release' })],
    [
      'a 409 that says release',
      (_request, response) => json(response, 409, { verdict: 'release' }),
    ],
    [
      'the verdict of another order',
      (_request, response) => json(response, 200, { order_id: randomUUID(), verdict: 'release' }),
    ],
    [
      'a verdict that does not exist',
      ({ headers }, response) =>
        json(response, 200, { order_id: headers['x-order-id'], verdict: 'expire' }),
    ],
    ['HTML', (_request, response) => response.end('<html>release</html>')],
    [
      '10 MB that say release',
      ({ headers }, response) =>
        response.end(
          JSON.stringify({ order_id: headers['x-order-id'], verdict: 'release' }).padEnd(
            10_000_000,
          ),
        ),
    ],
    ['a lost connection', (_request, response) => response.destroy()],
    ['silence', () => undefined],
  ])('is kept after %s', async (_what, respond) => {
    service.orders.answer(respond)
    const sku = await service.sku(5)
    const order = await expired(sku)
    await service.app.expire()
    expect(service.orders.received).toHaveLength(1)
    expect(await service.row(order)).toMatchObject({ state: 1 })
    expect(await againIn(order)).toBeGreaterThan(50)
    expect(await service.level(sku)).toMatchObject({ reserved: 1 })
  })

  test('is not asked about before its time', async () => {
    await service.reserve(randomUUID(), [line(await service.sku(5))])
    await service.app.expire()
    expect(service.orders.received).toEqual([])
  })

  test('waits with the others when order-service gives no answer', async () => {
    service.orders.answer((_request, response) => json(response, 503, {}))
    const sku = await service.sku(5)
    for (let n = 0; n < 3; n++) await expired(sku)
    await service.app.expire()
    expect(service.orders.received).toHaveLength(1)
    says('release')
    await service.app.expire()
    expect(service.orders.received).toHaveLength(3)
    expect(await service.level(sku)).toMatchObject({ reserved: 1 })
  })

  test('that another transaction works on holds up no other', async () => {
    says('release')
    const sku = await service.sku(5)
    const [locked, free] = [await expired(sku), await expired(sku)]
    const lock = 'SELECT FROM oms.reservation WHERE order_id = $1 FOR UPDATE'
    await whileOpen(service, lock, [locked], () => service.app.expire())
    expect(service.orders.received.map(({ headers }) => headers['x-order-id'])).toEqual([free])
    expect(await service.row(locked)).toMatchObject({ state: 1 })
    expect(await service.row(free)).toMatchObject({ state: 3 })
  })

  test('of many: one pass takes them all, of every tenant, and two passes never the same', async () => {
    says('release')
    const sku = await service.sku(20, 'acme', 'globex')
    const orders: string[] = []
    for (let n = 0; n < 12; n++) orders.push(await expired(sku, n % 2 === 0 ? 'acme' : 'globex'))
    const claimed = await Promise.all([
      service.app.stock.claimExpired(4),
      service.app.stock.claimExpired(4),
    ])
    const ids = claimed.flat().map(({ orderId }) => orderId)
    expect(ids).toHaveLength(8)
    expect(new Set(ids).size).toBe(8)
    await service.app.expire()
    expect(service.orders.received).toHaveLength(4)
    expect(await service.level(sku, 'acme')).toMatchObject({ reserved: 6 - 2 })
  })
})

describe('the alert of an expired reservation', () => {
  test.each(['keep', undefined])(
    'is raised when it is older than an hour and the verdict is %s',
    async (verdict) => {
      if (verdict === undefined)
        service.orders.answer((_request, response) => json(response, 503, {}))
      const order = await old('3601 s')
      await service.app.expire()
      expect(service.alerts).toMatchObject([
        {
          level: 50,
          order_id: order,
          tenant_id: 'acme',
          msg: 'reservation held for an hour without a verdict',
        },
      ])
    },
  )

  test('is not raised before, nor when the verdict ends it', async () => {
    await old('3590 s')
    await service.app.expire()
    says('commit')
    await old('2 h')
    await service.app.expire()
    expect(service.orders.received).toHaveLength(2)
    expect(service.alerts).toEqual([])
  })

  test('is raised when a confirmed order has lost its reservation', async () => {
    const sku = await service.sku(5)
    const order = await expired(sku)
    saysAfter(() => service.app.stock.release({ tenantId: 'acme', orderId: order }), 'commit')
    await service.app.expire()
    expect(service.alerts).toMatchObject([{ order_id: order, state: 'released' }])
  })

  test('is raised when a failed order has its reservation committed', async () => {
    const sku = await service.sku(5)
    const order = await expired(sku)
    saysAfter(() => service.app.stock.settle('acme', [order]), 'release')
    await service.app.expire()
    expect(service.alerts).toMatchObject([{ order_id: order, level: 50 }])
    expect(await service.row(order)).toMatchObject({ state: 2 })
  })
})

describe('the loop', () => {
  test('asks by itself', async () => {
    says('release')
    const order = await expired(await service.sku(5))
    startLoops(service.app.server)
    await eventually('the released reservation', async () => {
      const row = await service.row(order)
      return row?.['state'] === 3
    })
  })
})

describe('GET /metrics', () => {
  test('counts what is held, of all tenants', async () => {
    const held = async () =>
      Number(/^reservations_held (\d+)$/m.exec((await service.get('/metrics')).body)?.[1])
    const before = await held()
    const sku = await service.sku(5, 'acme', 'globex')
    await service.reserve(randomUUID(), [line(sku)])
    const order = randomUUID()
    await service.reserve(order, [line(sku)], { 'x-tenant-id': 'globex' })
    expect(await held()).toBe(before + 2)
    await service.post(`/api/v1/reservations/${order}/settle`, {}, { 'x-tenant-id': 'globex' })
    expect(await held()).toBe(before + 1)
  })
})
