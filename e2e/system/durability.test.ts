import { afterEach, expect, test } from 'vitest'
import { createDurability, type Durability } from '../durability/durability.ts'

const ORDERS = 1000
const KILLS = 3
/** Failing seeds become tests of their own. */
const SEED = Math.floor(Math.random() * 2 ** 31)

let durability: Durability | undefined
afterEach(() => durability?.close())

test('kill -9 of PostgreSQL under 16 writers, three times: of 1,000 acknowledged orders none is missing, and the audit is green', async ({
  annotate,
}) => {
  durability = createDurability({
    orders: ORDERS,
    kills: KILLS,
    seed: SEED,
    withinMs: 90_000,
    endLeases: true,
  })
  const { acknowledged, kills, unanswered, broken, audit } = await durability.run()
  expect(broken, `seed ${SEED}`).toEqual([])
  expect(audit, `seed ${SEED}`).toBeUndefined()
  expect(acknowledged).toBeGreaterThanOrEqual(ORDERS)
  // The kills hit work under way.
  expect(kills).toBe(KILLS)
  expect(unanswered).toBeGreaterThan(0)
  await annotate(`n = ${acknowledged} acknowledged, ${kills} kills, 0 missing, seed ${SEED}`)
})
