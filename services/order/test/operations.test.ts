import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { setPrices } from '../src/operations.ts'
import { createScene, problem, type Scene } from './scene.ts'

let scene: Scene
let folder: string
beforeAll(async () => {
  scene = await createScene()
  folder = mkdtempSync(join(tmpdir(), 'oms-prices-'))
})
afterAll(async () => {
  await scene.close()
  rmSync(folder, { recursive: true })
})
beforeEach(() => scene.approve())

describe('prices FILE', () => {
  const BEANS = { tenant_id: 'acme', sku: 'BEANS', currency: 'EUR', unit_price_minor: 2000 }
  const NEW = { tenant_id: 'hooli', sku: 'NEW-1', currency: 'CHF', unit_price_minor: 1 }

  async function run(content: string | undefined) {
    const file = join(folder, `${randomUUID()}.json`)
    if (content !== undefined) writeFileSync(file, content)
    const told: string[] = []
    const terminal = {
      log: (text: string) => void told.push(text),
      error: (text: string) => void told.push(text),
    }
    const code = await setPrices(scene.replica({ LOG_LEVEL: 'silent' }), file, terminal)
    return { code, told: told.join('\n').replaceAll(file, 'FILE') }
  }

  const prices = async () =>
    (
      await scene.admin.query(
        'SELECT tenant_id, sku, currency, unit_price_minor::int FROM oms.price ORDER BY 1, 2, 3',
      )
    ).rows

  test('sets what the file says, and says so; the rest stays', async () => {
    const before = await prices()
    expect(await run(JSON.stringify([BEANS, NEW]))).toEqual({ code: 0, told: '2 prices set' })
    const after = await prices()
    expect(after).toHaveLength(before.length + 1)
    expect(after).toContainEqual(BEANS)
    expect(after).toContainEqual(NEW)
    expect((await scene.place(randomUUID())).json().amount_minor).toBe(4000)
    // Twice is as good as once.
    expect((await run(JSON.stringify([BEANS, NEW]))).code).toBe(0)
    expect(await prices()).toEqual(after)
  })

  test.each<[string, string | undefined, RegExp]>([
    ['is missing', undefined, /FILE/],
    ['is no JSON', '[{', /FILE.*JSON/],
    ['is no list', JSON.stringify(BEANS), /FILE.*array/],
    [
      'has a price of 0',
      JSON.stringify([BEANS, { ...NEW, unit_price_minor: 0 }]),
      /Entry 1 of FILE.*unit_price_minor/,
    ],
    [
      'has a price above 10^9',
      JSON.stringify([BEANS, { ...NEW, unit_price_minor: 1_000_000_001 }]),
      /Entry 1 of FILE.*unit_price_minor/,
    ],
    [
      'has a price as text',
      JSON.stringify([{ ...NEW, unit_price_minor: '5' }]),
      /Entry 0 of FILE.*unit_price_minor/,
    ],
    [
      'has a malformed SKU',
      JSON.stringify([BEANS, { ...NEW, sku: 'new' }]),
      /Entry 1 of FILE.*sku/,
    ],
    [
      'has a malformed tenant',
      JSON.stringify([{ ...NEW, tenant_id: 'Hooli' }]),
      /Entry 0 of FILE.*tenant_id/,
    ],
    [
      'has a malformed currency',
      JSON.stringify([{ ...NEW, currency: 'franc' }]),
      /Entry 0 of FILE.*currency/,
    ],
    [
      'has an unknown member',
      JSON.stringify([{ ...NEW, price: 5 }]),
      /Entry 0 of FILE.*additional/,
    ],
    [
      'names a price twice',
      JSON.stringify([NEW, BEANS, NEW]),
      /Entries 0 and 2 of FILE.*hooli NEW-1 CHF/,
    ],
    ['lacks a member', JSON.stringify([{ ...NEW, sku: undefined }]), /Entry 0 of FILE.*sku/],
  ])('that %s is refused, names the fault and changes nothing', async (_what, content, told) => {
    await run(JSON.stringify([{ ...BEANS, unit_price_minor: 77 }]))
    const before = await prices()
    const answer = await run(content)
    expect(answer.code).toBe(2)
    expect(answer.told).toMatch(told)
    expect(await prices()).toEqual(before)
  })

  test('without FILE says how to call it', async () => {
    const told: string[] = []
    const terminal = { log: () => undefined, error: (text: string) => void told.push(text) }
    expect(await setPrices(scene.replica({ LOG_LEVEL: 'silent' }), undefined, terminal)).toBe(2)
    expect(told.join()).toContain('prices FILE')
  })
})

describe('metrics', () => {
  test('count each transition of an order once', async () => {
    const app = scene.replica()
    const place = (key: string) => scene.place(key, { on: app })
    const confirmed = randomUUID()
    await place(confirmed)
    await place(confirmed)
    scene.on('reserve', (response, id) =>
      problem(response, 409, 'out-of-stock', id, { unavailable_skus: [] }),
    )
    await place(randomUUID())
    scene.approve()
    scene.on('charge', (response, id) => problem(response, 402, 'payment-declined', id))
    await place(randomUUID())
    scene.on('charge', (response) => response.writeHead(503).end())
    const unknown = randomUUID()
    await place(unknown)
    await scene.letLeaseEnd(unknown)
    await place(unknown)
    scene.approve()
    await scene.cancel(unknown, {}, app)
    const count = (from: string, to: string) =>
      scene.metric('order_transitions_total', `from="${from}",to="${to}"`, app)
    expect({
      accepted: await count('none', 'pending'),
      confirmed: await count('pending', 'confirmed'),
      rejected: await count('pending', 'rejected'),
      unknown: await count('pending', 'payment_unknown'),
      declining: await count('pending', 'compensating'),
      declined: await count('compensating', 'declined'),
      cancelling: await count('payment_unknown', 'compensating'),
      cancelled: await count('compensating', 'cancelled'),
    }).toEqual({
      accepted: 4,
      confirmed: 1,
      rejected: 1,
      unknown: 1,
      declining: 1,
      declined: 1,
      cancelling: 1,
      cancelled: 1,
    })
    expect(await scene.metric('order_transitions_total', '', app)).toBe(11)
  })

  test('tell what waits, and for how long', async () => {
    await scene.admin.query('TRUNCATE oms.orders, oms.outbox')
    expect(await scene.metric('orders_oldest_due_seconds')).toBe(0)
    expect(await scene.metric('outbox_oldest_seconds')).toBe(0)
    expect(await scene.metric('orders_unfinished')).toBe(0)
    await scene.given({ next_run_at: "now() - interval '30 s'" })
    await scene.given({}, 'globex')
    await scene.given({ state: '30' })
    await scene.place(randomUUID())
    await scene.admin.query("UPDATE oms.outbox SET created_at = now() - interval '20 s'")
    expect(await scene.metric('orders_unfinished', 'state="pending"')).toBe(2)
    expect(await scene.metric('orders_unfinished', 'state="payment_unknown"')).toBe(1)
    expect(await scene.metric('orders_unfinished')).toBe(3)
    const due = await scene.metric('orders_oldest_due_seconds')
    expect(due).toBeGreaterThanOrEqual(30)
    expect(due).toBeLessThan(40)
    const outbox = await scene.metric('outbox_oldest_seconds')
    expect(outbox).toBeGreaterThanOrEqual(20)
    expect(outbox).toBeLessThan(30)
  })

  test('name no tenant, order or token', async () => {
    const key = randomUUID()
    await scene.place(key)
    await scene.place(key, { headers: { 'x-tenant-id': 'globex' } })
    await scene.app.recover()
    await scene.app.relay()
    const { body } = await scene.app.server.inject({ url: '/metrics' })
    for (const word of ['acme', 'globex', key, 'pm_approve', 'BEANS'])
      expect(body).not.toContain(word)
    const labels = new Set([...body.matchAll(/[{,]([a-z_]+)="/g)].map(([, name]) => name))
    expect([...labels].toSorted()).toEqual(
      expect.arrayContaining(['from', 'method', 'outcome', 'route', 'state', 'status', 'to']),
    )
    expect([...labels].filter((name) => /tenant|order|sku|path/.test(name ?? ''))).toEqual([])
  })
})
