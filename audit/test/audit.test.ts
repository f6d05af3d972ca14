import { createUpstream, json } from '@oms/chassis/testing'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { audit, type Row } from '../src/audit.ts'
import { asRole, createWorld, ORDERS, pspKey, type World } from './world.ts'

let world: World
beforeAll(async () => {
  world = await createWorld()
})
afterEach(() => world.restore())
afterAll(() => world.drop())

const results = (rows: readonly Row[]): Record<string, string> =>
  Object.fromEntries(
    rows
      .filter(({ result }) => result !== 'ok')
      .map(({ id, result, needs }) => [id, needs === undefined ? result : `${result}: ${needs}`]),
  )

const databases = (): Parameters<typeof audit>[0]['databases'] => ({
  order: world.order,
  inventory: world.inventory,
  payment: world.payment,
})

/** The pool, with `act` before every connection after the first. */
function afterFirst(pool: pg.Pool, act: () => Promise<void>): pg.Pool {
  let connections = 0
  return {
    connect: async () => {
      connections++
      if (connections > 1) await act()
      return pool.connect()
    },
  } as unknown as pg.Pool
}

const pending = `INSERT INTO oms.orders (tenant_id, order_id, fp, state, currency, amount_minor, lines, decide_at, next_run_at)
  VALUES ('acme', '${ORDERS.stranger}', '\\x11', 10, 'EUR', 500, '[]', now() + interval '60 s', now() + interval '12 s')`
const processing = `INSERT INTO oms.payment (tenant_id, order_id, fp, state, amount_minor, currency, psp_key, next_run_at)
  VALUES ('acme', '${ORDERS.stranger}', '\\x11', 1, 500, 'EUR', '${pspKey('acme', ORDERS.stranger)}', now() + interval '3 s')`
const capture = {
  id: 'ch_x',
  idempotency_key: pspKey('acme', ORDERS.stranger),
  merchant_reference: `oms:local:acme:${ORDERS.stranger}`,
  amount: 500,
  currency: 'EUR',
  status: 'succeeded',
}

describe('a healthy world', () => {
  it('is ok in every row when nothing is under way', async () => {
    const { code, rows, err } = await world.run([...world.everything(), '--quiescent'])
    expect(err).toBe('')
    expect(results(rows)).toEqual({})
    expect(rows.map(({ id }) => id)).toEqual(Array.from({ length: 12 }, (_, i) => `I${i + 1}`))
    expect(code).toBe(0)
  })

  it('says what it looked at', async () => {
    const { rows } = await world.run([...world.everything(), '--quiescent'])
    const note = (id: string): string => rows.find((row) => row.id === id)?.note ?? ''
    expect(note('I1')).toBe('processor: 4 charges, 1 refunds')
    expect(note('I2')).toBe('2 SKUs, 7 reservations')
    expect(note('I7')).toBe('paths of 7 orders')
    expect(note('I11')).toMatch(/^7 events, 0 in the outbox, age p99 [01]\.\d\d s$/)
  })
})

describe('traffic', () => {
  it('breaks no promise: a capture whose verdict is not written yet', async () => {
    await world.force(world.order, pending)
    await world.force(world.payment, processing)
    world.recorded.charges.push(capture)
    const { rows, code } = await world.run(world.everything())
    expect(results(rows)).toEqual({ I12: 'not checked: --quiescent' })
    expect(code).toBe(0)
  })

  it('breaks no promise: a refund whose end is not written yet', async () => {
    await world.force(
      world.order,
      `UPDATE oms.orders SET state = 35, next_run_at = now() + interval '1 s', finished_at = NULL
        WHERE order_id = $1`,
      [ORDERS.refunded],
    )
    await world.force(world.order, 'DELETE FROM oms.order_event WHERE order_id = $1', [
      ORDERS.refunded,
    ])
    await world.force(world.payment, 'UPDATE oms.refund SET state = 1')
    await world.force(world.payment, 'DELETE FROM oms.ledger WHERE entry = 1')
    const { rows } = await world.run(world.everything())
    expect(results(rows)).toEqual({ I12: 'not checked: --quiescent' })
  })

  it('breaks no promise: an order that is accepted after the orders were read', async () => {
    await world.force(world.payment, processing)
    const order = afterFirst(world.order, () => world.force(world.order, pending))
    const rows = await audit({ databases: { ...databases(), order }, simulated: true })
    expect(rows.find(({ id }) => id === 'I9')?.result).toBe('ok')
  })

  it('breaks no promise: a charge that begins after the payments were read', async () => {
    await world.force(world.order, pending)
    world.processor.answer(({ path }, response) => {
      void world.force(world.payment, `${processing} ON CONFLICT DO NOTHING`).then(() => {
        const [charges, refunds] = [[...world.recorded.charges, capture], world.recorded.refunds]
        json(response, 200, {
          data: path.startsWith('/v1/charges') ? charges : refunds,
          has_more: false,
        })
      })
    })
    const { rows } = await world.run(world.everything())
    expect(results(rows)).toEqual({ I12: 'not checked: --quiescent' })
  })

  it('breaks no promise: a refund that begins after the payments were read', async () => {
    await world.force(
      world.payment,
      `INSERT INTO oms.payment (tenant_id, order_id, fp, state, amount_minor, currency, psp_key, psp_ref, decided_at)
       VALUES ('acme', $1, '\\x11', 2, 500, 'EUR', $2, 'ch_x', now())`,
      [ORDERS.stranger, pspKey('acme', ORDERS.stranger)],
    )
    await world.force(
      world.payment,
      `INSERT INTO oms.ledger (tenant_id, order_id, entry, debit, credit, currency, amount_minor)
       VALUES ('acme', $1, 0, 'psp', 'sales', 'EUR', 500)`,
      [ORDERS.stranger],
    )
    await world.force(world.order, pending)
    const refundKey = pspKey('acme', ORDERS.stranger, 'r1')
    world.recorded.charges.push(capture)
    world.processor.answer(({ path }, response) => {
      const begin = world.force(
        world.payment,
        `INSERT INTO oms.refund (tenant_id, order_id, refund_no, state, amount_minor, psp_key, next_run_at)
         VALUES ('acme', $1, 1, 1, 500, $2, now() + interval '3 s') ON CONFLICT DO NOTHING`,
        [ORDERS.stranger, refundKey],
      )
      void begin.then(() => {
        const refund = { ...capture, id: 're_x', idempotency_key: refundKey, charge: 'ch_x' }
        json(response, 200, {
          data: path.startsWith('/v1/charges')
            ? world.recorded.charges
            : [...world.recorded.refunds, refund],
          has_more: false,
        })
      })
    })
    const { rows } = await world.run(world.everything())
    expect(results(rows)).toEqual({ I12: 'not checked: --quiescent' })
  })

  it('is no leak: a gauge that is above zero for a moment', async () => {
    const upstream = await createUpstream()
    let scrapes = 0
    upstream.answer((_request, response) => {
      scrapes++
      response.end(
        `limiter_in_flight 0\nlimiter_queued 0\npostgres_pool_busy ${scrapes < 3 ? 1 : 0}\n`,
      )
    })
    const { rows } = await world.run([
      ...world.everything(),
      '--quiescent',
      `${upstream.origin}/metrics`,
    ])
    await upstream.close()
    expect(results(rows)).toEqual({})
    expect(scrapes).toBe(3)
  })

  it('is foreign: money of another deployment and of another merchant', async () => {
    world.recorded.charges.push(
      { ...capture, merchant_reference: 'shop-42', idempotency_key: 'shop-42' },
      {
        ...capture,
        merchant_reference: `oms:lab:acme:${ORDERS.stranger}`,
        idempotency_key: `oms:lab:acme:${ORDERS.stranger}:c1`,
      },
    )
    const { rows } = await world.run([...world.everything(), '--quiescent'])
    expect(results(rows)).toEqual({})
  })
})

describe('a missing input', () => {
  it('is named, and its row is never ok', async () => {
    await world.force(world.order, 'ALTER SCHEMA oms_audit RENAME TO hidden')
    const { rows, code } = await world.run(['--json', '--quiescent'])
    await world.force(world.order, 'ALTER SCHEMA hidden RENAME TO oms_audit')
    expect(results(rows)).toEqual({
      I1: 'not checked: PROCESSOR_URL',
      I3: 'not checked: --acks FILE',
      I7: 'not checked: the history trigger (install-history)',
      I8: 'not checked: --answers FILE',
      I10: 'not checked: PROCESSOR_URL',
      I12: 'not checked: --metrics URL…',
    })
    expect(code).toBe(0)
  })

  it('stands in the table', async () => {
    const { out } = await world.run([])
    expect(out).toMatch(/^I3 +no acknowledged order lost +not checked: needs --acks FILE$/m)
    expect(out).toMatch(
      /^I4 +every order ends +ok +7 orders, 0 unfinished; state < 100 not checked: needs --quiescent$/m,
    )
    expect(out).toMatch(/^7 ok, 0 violated, 5 not checked$/m)
  })

  it('does not hide what is broken without it', async () => {
    await world.force(
      world.payment,
      `UPDATE oms.ledger SET amount_minor = 1 WHERE tenant_id = 'globex'`,
    )
    const { rows, code } = await world.run(['--json'])
    expect(rows.find(({ id }) => id === 'I10')).toMatchObject({
      result: 'violated',
      needs: 'PROCESSOR_URL',
      findings: [{ subject: `globex/${ORDERS.confirmed}` }],
    })
    expect(code).toBe(1)
  })

  it('is none for the processor in simulated mode, and the row says so', async () => {
    await world.force(world.payment, `UPDATE oms.payment SET psp_ref = 'sim_' || order_id`)
    const { rows } = await world.run(['--json'], { PSP_MODE: 'simulated' })
    expect(rows[0]).toMatchObject({ id: 'I1', result: 'ok' })
    expect(rows[0]?.note).toContain('payment tables alone, no processor')
    expect(rows[9]).toMatchObject({ id: 'I10', result: 'ok' })
    expect(rows[9]?.note).toContain('payment tables alone, no processor')
  })

  it('is the processor where simulated mode is claimed of charges that it made', async () => {
    const { rows } = await world.run(['--json', '--psp-mode', 'simulated'])
    expect(rows[0]).toMatchObject({
      result: 'not checked',
      needs: 'PROCESSOR_URL (payments were captured by a processor)',
    })
  })

  it('is a metric that a process does not have', async () => {
    delete world.recorded.gauges['limiter_queued']
    const { rows } = await world.run([...world.everything(), '--quiescent'])
    expect(rows[11]?.result).toBe('not checked')
    expect(rows[11]?.needs).toMatch(/^limiter_queued at http/)
  })

  it("is the right to look as the services' roles do", async () => {
    await world.order.query(`DO $$ BEGIN
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'oms_audit_bypass') THEN
        CREATE ROLE oms_audit_bypass LOGIN BYPASSRLS PASSWORD 'test'; GRANT pg_read_all_data TO oms_audit_bypass;
      END IF; END $$`)
    const urls = await asRole(world, 'oms_audit_bypass')
    const { rows, err } = await world.run(['--json'], urls)
    expect(err).toBe('')
    expect(rows[8]).toMatchObject({ result: 'not checked' })
    expect(rows[1]).toMatchObject({ result: 'ok', note: '2 SKUs, 7 reservations' })
  })
})

describe('waiting until nothing is under way', () => {
  it('ends with the last order', async () => {
    await world.force(world.order, pending)
    const done = new Promise((resolve) => setTimeout(resolve, 300)).then(() =>
      world.force(world.order, `DELETE FROM oms.orders WHERE order_id = '${ORDERS.stranger}'`),
    )
    const { rows } = await world.run([...world.everything(), '--settle-timeout', '10'])
    await done
    expect(results(rows)).toEqual({})
  })

  it('names in I4 who has not ended in time', async () => {
    await world.force(world.order, pending)
    const { rows, code } = await world.run([...world.everything(), '--settle-timeout', '0.3'])
    expect(rows[3]).toMatchObject({
      result: 'violated',
      findings: [{ subject: `acme/${ORDERS.stranger}`, why: 'still pending' }],
    })
    expect(code).toBe(1)
  })

  it('waits for the outbox', async () => {
    await world.force(
      world.order,
      `WITH moved AS (DELETE FROM oms.order_event WHERE tenant_id = 'acme' AND seq = 5 RETURNING *)
       INSERT INTO oms.outbox (tenant_id, order_id, type, body) SELECT tenant_id, order_id, type, body FROM moved`,
    )
    const published = new Promise((resolve) => setTimeout(resolve, 300)).then(() =>
      world.order.query(
        `SELECT oms.publish('acme', array_agg(order_id), array_agg(type)) FROM oms.outbox`,
      ),
    )
    await world.force(
      world.order,
      `UPDATE oms.event_tail SET last_seq = 4 WHERE tenant_id = 'acme'`,
    )
    const { rows } = await world.run([
      ...world.everything(),
      ...['--settle-timeout', '10'],
      // The orders ended when the world was made.
      ...['--announce-limit', '600'],
    ])
    await published
    expect(results(rows)).toEqual({})
  })
})
