/**
 * For tests only: what every service promises whoever calls it, over every route it has. The rows of protocol.md,
 * section 7, that do not depend on what a service is about; docs/security.md names them.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeBodies } from './testing-bodies.ts'
import { type AttackedService, type Ground, startGround } from './testing-ground.ts'
import { describeTenants } from './testing-tenants.ts'
import { describeTexts } from './testing-texts.ts'

/** Hundreds of requests a test. */
const MANY = { timeout: 120_000 }

export function describeSecurity(service: AttackedService): void {
  let ground: Ground
  beforeAll(async () => {
    ground = await startGround(service)
  })
  afterAll(() => ground.stop())

  test('every route is attacked, and every success has a schema', () => {
    expect(ground.declared.toSorted()).toEqual(Object.keys(service.routes).toSorted())
    expect(ground.shapeless).toEqual([])
  })

  describe('tenants', MANY, () => describeTenants(() => ground))
  describe('bodies', MANY, () => describeBodies(() => ground, service))
  describe('texts', MANY, () => describeTexts(() => ground))
}
