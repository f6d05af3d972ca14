import { afterAll, beforeAll, expect, it } from 'vitest'
import { createWorld, type World } from './world.ts'

const ORDERS = 20_000

let world: World
beforeAll(async () => {
  world = await createWorld()
  const rows = `generate_series(1, ${ORDERS}) AS n, LATERAL (SELECT ('0198c1a0-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid AS id) i`
  await world.force(
    world.order,
    `WITH o AS (INSERT INTO oms.orders (tenant_id, order_id, fp, state, verdict, currency, amount_minor, lines, decide_at, finished_at)
       SELECT 'big', id, '\\x11', 100, 'captured', 'EUR', 500, '[]', now(), now() FROM ${rows} RETURNING order_id),
     h AS (INSERT INTO oms_audit.order_history (tenant_id, order_id, state, verdict, cancel_requested)
       SELECT 'big', order_id, s.state, s.verdict, false FROM o, (VALUES (10, 'none'), (30, 'none'), (100, 'captured')) s (state, verdict))
     INSERT INTO oms.order_event (tenant_id, seq, order_id, type, body)
       SELECT 'big', row_number() OVER (), order_id, 'order.confirmed', '{}' FROM o`,
  )
  await world.force(
    world.payment,
    `WITH p AS (INSERT INTO oms.payment (tenant_id, order_id, fp, state, amount_minor, currency, psp_key, psp_ref, decided_at)
       SELECT 'big', id, '\\x11', 2, 500, 'EUR', 'oms:local:big:' || id || ':c1', 'ch_' || id, now() FROM ${rows} RETURNING order_id)
     INSERT INTO oms.ledger (tenant_id, order_id, entry, debit, credit, currency, amount_minor)
       SELECT 'big', order_id, 0, 'psp', 'sales', 'EUR', 500 FROM p`,
  )
  await world.force(
    world.inventory,
    `WITH r AS (INSERT INTO oms.reservation (tenant_id, order_id, fp, state, lines)
       SELECT 'big', id, '\\x11', 2, '[{"sku":"TEA","quantity":1},{"sku":"JAM","quantity":1}]' FROM ${rows})
     INSERT INTO oms.stock (tenant_id, sku, supplied, available, sold)
       VALUES ('big', 'TEA', ${ORDERS}, 0, ${ORDERS}), ('big', 'JAM', ${ORDERS}, 0, ${ORDERS})`,
  )
  for (let n = 1; n <= ORDERS; n++) {
    const id = `0198c1a0-0000-7000-9000-${String(n).padStart(12, '0')}`
    world.recorded.charges.push({
      id: `ch_${id}`,
      idempotency_key: `oms:local:big:${id}:c1`,
      merchant_reference: `oms:local:big:${id}`,
      amount: 500,
      currency: 'EUR',
      status: 'succeeded',
    })
  }
})
afterAll(() => world.drop())

it(`audits ${ORDERS} orders in less than 10 s`, async () => {
  const started = performance.now()
  const { rows, err } = await world.run([...world.everything(), '--quiescent'])
  const seconds = (performance.now() - started) / 1000
  expect(err).toBe('')
  expect(rows.filter(({ result }) => result !== 'ok')).toEqual([])
  expect(seconds).toBeLessThan(10)
})
