import { readFileSync } from 'node:fs'
import { TEST_PASSWORD } from '@oms/chassis/testing'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { createWorld, type World } from '../in-process/world.ts'
import { checkProperties, LANES, repeatSteps } from './check-properties.ts'
import { KIND_NAMES, type Step } from './steps.ts'

const RUNS = 150
const MAX_STEPS = 40
/** Fixed: what turns red is the change, not the day. `verify:properties` takes a new one every time. */
const SEED = 20_261_125

const REGRESSIONS: Readonly<Record<string, readonly Step[]>> = JSON.parse(
  readFileSync(new URL('regressions.json', import.meta.url), 'utf8'),
)

let worlds: readonly World[]
beforeAll(async () => {
  const base = inject('postgresUrl')
  const create = () =>
    createWorld({ superuserUrl: (database) => `${base}/${database}`, password: TEST_PASSWORD })
  worlds = await Promise.all(Array.from({ length: LANES }, create))
})
afterAll(() => Promise.all(worlds.map((world) => world.close())))

const worldOf = async (lane: number): Promise<World> => worlds[lane] as World

describe('the system does what a page of plain data says', () => {
  test.each(Object.entries(REGRESSIONS))('again: %s', async (_name, steps) =>
    repeatSteps(await worldOf(0), steps),
  )

  test(`in ${RUNS} random runs of at most ${MAX_STEPS} steps`, async ({ annotate }) => {
    const startedMs = performance.now()
    const { runs, tally, failure } = await checkProperties({
      nextWorld: worldOf,
      runs: RUNS,
      maxSteps: MAX_STEPS,
      seed: SEED,
    })
    if (failure !== undefined) expect.fail(failure)
    expect(runs).toBe(RUNS)
    // What never happened was never checked.
    expect(new Set(tally.steps.keys())).toEqual(new Set(KIND_NAMES))
    const steps = [...tally.steps.values()].reduce((sum, each) => sum + each, 0)
    // A machine may be too slow for a service's own time limits, but not always.
    expect(tally.repeated).toBeLessThan(steps / 20)
    const tookMs = Math.round(performance.now() - startedMs)
    await annotate(`n = ${runs} runs, ${steps} steps, ${tally.repeated} repeated, ${tookMs} ms`)
  }, 600_000)
})
