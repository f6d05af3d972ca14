/** V2 in one process: a crash at every fault point, and one of whoever recovers from it. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { TEST_PASSWORD } from '@oms/chassis/testing'
import { afterAll, beforeEach, describe, expect, inject, onTestFailed, test } from 'vitest'
import { createInProcessSite } from './in-process-site.ts'
import { JOURNEYS } from './journeys.ts'
import { FAULT_POINTS } from './points.ts'
import type { Site } from './site.ts'
import { survive } from './survive.ts'

const SERVICES_DIR = join(import.meta.dirname, '../../services')

describe('the table of fault points', () => {
  const names = FAULT_POINTS.map(({ name }) => name)

  test('names those of the sources, each called in one place', () => {
    const sources = globSync('*/src/**/*.ts', { cwd: SERVICES_DIR })
      .map((path) => readFileSync(join(SERVICES_DIR, path), 'utf8'))
      .join('\n')
    const calls = sources.match(/\bfaultPoint\(/g) ?? []
    const called = [...sources.matchAll(/\bfaultPoint\('([^']+)'\)/g)].map(([, name]) => name)
    expect(called.toSorted()).toEqual(names.toSorted())
    expect(calls).toHaveLength(called.length)
    expect(names).toHaveLength(30)
  })

  test('leads to no point by way of one that does not exist', () => {
    const ways = [
      ...FAULT_POINTS.map(({ recovery }) => (typeof recovery === 'object' ? recovery.after : '')),
      ...Object.values(JOURNEYS).map(({ dies = '' }) => dies),
    ]
    expect(names).toEqual(expect.arrayContaining(ways.filter((point) => point !== '')))
  })
})

describe('an order ends as it should, charged once, though the process that works on it dies', () => {
  let site: Site | undefined

  beforeEach(async () => {
    site ??= await createInProcessSite({
      superuserUrl: (database) => `${inject('postgresUrl')}/${database}`,
      password: TEST_PASSWORD,
    })
  })
  afterAll(() => site?.close())

  test.each(FAULT_POINTS)('at $name, and so does the one that recovers it', async (point) => {
    // What one point has broken is not the next one's fault.
    onTestFailed(async () => {
      await site?.close()
      site = undefined
    })
    const { first, recovery } = await survive(site as Site, point)
    expect({ first, recovery }).toEqual({ first: 1, recovery: 1 })
  })
})
