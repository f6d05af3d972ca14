import { createTestDatabase, type TestDatabase } from '@oms/chassis/testing'
import { migrations } from '@oms/order/migrations/migrations.ts'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { brokenPath, flippedVerdict, installHistory } from '../src/history.ts'

const ORDER = '0198c1a0-0000-7000-8000-000000000001'
const EARLIER = '0198c1a0-0000-7000-8000-000000000002'

let database: TestDatabase
let service: pg.Pool
beforeAll(async () => {
  database = await createTestDatabase('oms_order', migrations)
  service = database.asService(10)
})
afterAll(async () => {
  await service.end()
  await database.drop()
})

const accept = (order: string): Promise<unknown> =>
  service.query(`SELECT oms.accept_order('acme', $1, '\\x11', 'EUR', $2, 'pm_approve0')`, [
    order,
    JSON.stringify([{ sku: 'TEA', quantity: 1 }]),
  ])

const path = async (order: string): Promise<string[]> => {
  const { rows } = await database.admin.query<{ step: string }>(
    `SELECT concat_ws(' ', seq = 0, state, verdict, cancel_requested) AS step
       FROM oms_audit.order_history WHERE order_id = $1 ORDER BY seq`,
    [order],
  )
  return rows.map(({ step }) => step)
}

describe('the history trigger', () => {
  it("records the service's own steps, and neither leases nor deferrals", async () => {
    await service.query(`SELECT oms.set_price('acme', 'TEA', 'EUR', 100)`)
    await accept(EARLIER)
    await installHistory(database.admin)
    await Promise.all([installHistory(database.admin), installHistory(database.admin)])

    await accept(ORDER)
    await service.query(`SELECT oms.defer_order('acme', $1, false, true)`, [ORDER])
    await service.query(`SELECT oms.defer_order('acme', $1, true, true)`, [ORDER])
    await service.query(`SELECT oms.request_cancel('acme', $1)`, [ORDER])
    await service.query(`SELECT oms.apply_verdict('acme', $1, 'captured', NULL)`, [ORDER])
    await service.query(`SELECT oms.apply_refunded('acme', $1)`, [ORDER])
    await service.query(`SELECT oms.apply_released('acme', $1)`, [ORDER])
    expect(await path(ORDER)).toEqual([
      'f 10 none f',
      'f 30 none f',
      'f 30 none t',
      'f 35 captured t',
      'f 40 refunded t',
      'f 130 refunded t',
    ])
  })

  it('begins with the state in which it finds an order', async () => {
    await service.query(`SELECT oms.apply_verdict('acme', $1, 'captured', NULL)`, [EARLIER])
    expect(await path(EARLIER)).toEqual(['t 10 none f', 'f 100 captured f'])
  })

  it('records every change of a final order', async () => {
    await database.admin.query('ALTER TABLE oms.orders DISABLE TRIGGER guard')
    await database.admin.query(`UPDATE oms.orders SET attempt = attempt WHERE order_id = $1`, [
      EARLIER,
    ])
    expect(await path(EARLIER)).toHaveLength(2)
    await database.admin.query(`UPDATE oms.orders SET reason = 'x' WHERE order_id = $1`, [EARLIER])
    expect(await path(EARLIER)).toHaveLength(3)
  })

  it('cannot be written by the service', async () => {
    await expect(service.query('DELETE FROM oms_audit.order_history')).rejects.toThrow(
      /permission denied/,
    )
  })
})

describe('the paths of §3.1', () => {
  const steps = (...states: [state: number, verdict: string, cancel?: boolean][]) =>
    states.map(([state, verdict, cancelRequested = false], index) => ({
      seq: index + 1,
      state,
      verdict,
      cancelRequested,
    }))

  it.each([
    ['confirmed', steps([10, 'none'], [100, 'captured'])],
    ['confirmed late', steps([10, 'none'], [30, 'none'], [100, 'captured'])],
    ['rejected', steps([10, 'none'], [110, 'none'])],
    ['rejected in spite of a cancel', steps([10, 'none'], [10, 'none', true], [110, 'none', true])],
    ['declined', steps([10, 'none'], [40, 'declined'], [120, 'declined'])],
    ['timed out', steps([10, 'none'], [30, 'none'], [40, 'voided'], [130, 'voided'])],
    [
      'refunded',
      steps(
        [10, 'none'],
        [10, 'none', true],
        [35, 'captured', true],
        [40, 'refunded', true],
        [130, 'refunded', true],
      ),
    ],
  ])('allow: %s', (_name, path) => {
    expect(brokenPath(path)).toBeUndefined()
    expect(flippedVerdict(path)).toBeUndefined()
  })

  it('end in a final state: a second row of it is a change', () => {
    expect(brokenPath(steps([10, 'none'], [110, 'none'], [110, 'none']))).toBe(
      'changed after it was rejected',
    )
  })

  it('are all of them: every other step is broken', () => {
    const allowed = new Set([
      ...['10 10', '10 30', '10 35', '10 40', '10 100', '10 110'],
      ...['30 30', '30 35', '30 40', '30 100', '35 35', '35 40'],
      ...['40 40', '40 120', '40 130'],
    ])
    const verdicts: Readonly<Record<number, string>> = {
      10: 'none',
      30: 'none',
      35: 'captured',
      40: 'declined',
      100: 'captured',
      110: 'none',
      120: 'declined',
      130: 'voided',
    }
    const states = Object.keys(verdicts).map(Number)
    for (const from of states)
      for (const to of states) {
        // A path may begin anywhere where the trigger found it so: number 0.
        const path = [from, to].map((state, seq) => ({
          seq,
          state,
          verdict: verdicts[state] ?? '',
          cancelRequested: from === 35 || to === 35,
        }))
        const possible = brokenPath(path) === undefined
        expect([from, to, possible]).toEqual([from, to, allowed.has(`${from} ${to}`)])
      }
  })
})
