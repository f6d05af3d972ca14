import { randomUUID } from 'node:crypto'
import { eventually } from '@oms/chassis/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isFinalAnswer } from './client.ts'
import { SERVICES } from './system.ts'
import { startTestSystem, type TestSystem } from './testing.ts'

const IN_FLIGHT = 50
/** The bar: lease 12 s, sweep 1.2 s, a pass, the backoff's cap of 10 s. */
const ALL_FINAL_WITHIN_MS = 30_000

let running: TestSystem

beforeAll(async () => {
  running = await startTestSystem()
})
afterAll(() => running.close())

test.each(SERVICES)(
  'kill -9 of %s under 50 orders: each of them ends within 30 s of its return, and the audit is green',
  async (name) => {
    const { client, system } = running
    // The processor takes 3 s for each: none of the 50 has ended when the process dies.
    const orders = Array.from({ length: IN_FLIGHT }, () => ({
      key: randomUUID(),
      token: 'pm_slow00000001',
    }))
    const keys = orders.map(({ key }) => key)
    const unfinished = async (): Promise<number> => {
      const [row] = await running.query<{ n: number }>(
        'order',
        'SELECT count(*)::integer AS n FROM oms.orders WHERE order_id = ANY($1) AND state < 100',
        [keys],
      )
      return row?.n ?? 0
    }
    const tries = orders.map((order) => client.place(order).catch(() => undefined))
    await eventually(
      'half of the orders are under way',
      async () => (await unfinished()) >= IN_FLIGHT / 2,
    )
    await system.programs[name].stop('SIGKILL')
    await system.programs[name].start()
    const backAt = performance.now()

    await Promise.all(tries)
    const ends = await Promise.all(orders.map((order) => client.placeToEnd(order)))
    expect(ends.every(isFinalAnswer)).toBe(true)
    expect(await unfinished()).toBe(0)
    expect(performance.now() - backAt).toBeLessThan(ALL_FINAL_WITHIN_MS)
    await running.requireGreenAudit(15)
  },
)
