/** The catalogue says only what a run can tell. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '@oms/lab/folders'
import { describe, expect, test } from 'vitest'
import { CATALOGUE, DEFAULT_PROFILE } from '../src/catalogue.ts'
import { withFaults } from '../src/document.ts'
import { PROFILES, type Profile, secondsOf } from '../src/profiles.ts'

/** Metrics of k6/journeys.ts and of k6 itself. */
const METRICS = [
  ...readFileSync(join(ROOT, 'loadtest/k6/journeys.ts'), 'utf8').matchAll(
    /new (?:Rate|Counter|Trend)\('(\w+)'/g,
  ),
].map(([, name]) => name as string)
const OWN = ['http_reqs', 'http_req_failed']
/** Named by judge.ts and by scenarios' own judgement. */
const JUDGED = [
  'orders placed twice',
  'first asks that met the canary',
  'goodput from 5 s after the load',
  'prints sold',
  'audit after',
]

test('names are used once', () => {
  const names = CATALOGUE.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
})

describe.each(CATALOGUE)(
  '$name',
  ({ thresholds, signals, protections, fault, loads, ...scenario }) => {
    const profile: Profile = scenario.profile ?? DEFAULT_PROFILE

    test('its conditions are of metrics that the script has, and of its own loads', () => {
      const names = Object.keys(loads(profile))
      for (const [metric, conditions] of Object.entries(thresholds)) {
        const [, name = '', load] = /^(\w+)(?:\{scenario:(\w+)\})?$/.exec(metric) ?? []
        expect([...METRICS, ...OWN]).toContain(name)
        if (load !== undefined) expect(names).toContain(load)
        for (const condition of conditions)
          expect(condition).toMatch(/^(rate|count|avg|p\(95\))(==|>=|<=|<|>)\d+(\.\d+)?$/)
      }
    })

    test('what breaks without a protection is something that the run judges', () => {
      const known = [...Object.keys(thresholds), ...Object.keys(signals), ...JUDGED, 'orders_open']
      for (const { breaks } of Object.values(protections)) {
        expect(breaks.length).toBeGreaterThan(0)
        for (const name of breaks) expect(known).toContain(name)
      }
    })

    test('its fault ends early enough to see it heal', () => {
      if (fault === undefined) return
      expect(secondsOf(profile) - profile.fault.to).toBeGreaterThanOrEqual(10)
    })
  },
)

test('every profile begins and ends within its load', () => {
  for (const profile of Object.values(PROFILES) as Profile[]) {
    expect(profile.fault.from).toBeLessThan(profile.fault.to)
    expect(profile.fault.to).toBeLessThanOrEqual(secondsOf(profile))
  }
})

test('docs/faults.md has every scenario as the catalogue says it', () => {
  const document = readFileSync(join(ROOT, 'docs/faults.md'), 'utf8')
  expect(withFaults(document)).toBe(document)
})
