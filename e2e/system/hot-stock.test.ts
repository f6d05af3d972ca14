import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eachAtMost, startTestSystem, type TestSystem } from './testing.ts'

const ORDERS = 2000
const DUPLICATES = 3
const HOT = ['HOT-A', 'HOT-B'] as const
/** Fewer than wanted: the last ones must be refused, all lines or none. */
const SUPPLIED = 1500
/** Orders at once; each is sent three times. */
const WIDTH = 12

const folder = mkdtempSync(join(tmpdir(), 'oms-hot-'))
let running: TestSystem

beforeAll(async () => {
  const quiet = { LOG_LEVEL: 'warn' }
  running = await startTestSystem({
    order: { ...quiet, TENANT_ORDERS_PER_SECOND: '100000' },
    payment: quiet,
    inventory: quiet,
  })
  const file = (name: string, records: readonly object[]): string => {
    const path = join(folder, `${name}.json`)
    writeFileSync(path, JSON.stringify(records))
    return path
  }
  const common = HOT.map((sku) => ({ tenant_id: 'acme', sku }))
  const prices = common.map((each) => ({ ...each, currency: 'EUR', unit_price_minor: 100 }))
  const stock = common.map((each) => ({ ...each, supplied: SUPPLIED }))
  await running.system.operate('order', 'prices', file('prices', prices))
  await running.system.operate('inventory', 'stock', file('stock', stock))
})
afterAll(async () => {
  await running.close()
  rmSync(folder, { recursive: true })
})

test('2,000 orders, each sent three times, over two hot SKUs in random order: stock ends at 0, one answer each', async () => {
  let confirmed = 0
  const different: string[] = []
  await eachAtMost(WIDTH, Array.from({ length: ORDERS }), async () => {
    const key = randomUUID()
    // Line order is no part of the request's fingerprint, and must be none of the lock order.
    const send = () => {
      const skus = Math.random() < 0.5 ? HOT : HOT.toReversed()
      return running.client.placeToEnd({ key, lines: skus.map((sku) => ({ sku, quantity: 1 })) })
    }
    const answers = await Promise.all(Array.from({ length: DUPLICATES }, send))
    if (new Set(answers.map(({ status, text }) => `${status} ${text}`)).size > 1)
      different.push(key)
    if (answers[0]?.status === 201) confirmed++
  })
  expect(different).toEqual([])
  expect(confirmed).toBe(SUPPLIED)
  const rows = await running.query(
    'inventory',
    'SELECT sku, available::integer FROM oms.stock WHERE sku = ANY($1) ORDER BY sku',
    [HOT],
  )
  expect(rows).toEqual(HOT.map((sku) => ({ sku, available: 0 })))
  const [deadlocks] = await running.query<{ deadlocks: string }>(
    'inventory',
    'SELECT sum(deadlocks) AS deadlocks FROM pg_stat_database WHERE datname = current_database()',
  )
  expect(Number(deadlocks?.deadlocks)).toBe(0)
  await running.requireGreenAudit()
})
