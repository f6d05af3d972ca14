import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from '@oms/chassis/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createFaults } from '../crash/faults.ts'
import { startTestSystem, type TestSystem } from './testing.ts'

const folder = mkdtempSync(join(tmpdir(), 'oms-faults-'))
const faults = createFaults(folder)
let running: TestSystem

beforeAll(async () => {
  running = await startTestSystem({ order: faults.env })
})
afterAll(async () => {
  await running.close()
  rmSync(folder, { recursive: true })
})

test('a cancel that finds the money captured refunds it; a refused refund waits for an operator', async () => {
  const { client, system } = running
  const key = randomUUID()
  const token = 'pm_norefund0001'
  // The order's driver dies with the capture in its hands.
  faults.arm({ point: 'order.charge.answered', action: 'crash' })
  await client.place({ key, token }).catch(() => undefined)
  await system.programs.order.gone()
  await system.programs.order.start()

  const cancel = await client.cancel(key)
  expect(cancel.status).toBe(202)
  expect(cancel.body['state']).toBe('refunding')
  const alert = await eventually('the alert', () =>
    running.logLines('payment').find(({ order_id, level }) => order_id === key && level === 50),
  )
  expect(alert['msg']).toContain('retry-refund')

  const told = await system.operate('payment', 'retry-refund', key)
  expect(told).toContain('refund 2: done')
  const end = await client.placeToEnd({ key, token })
  expect(end.body['type']).toMatch(/order-cancelled$/)
  await running.requireGreenAudit(15)
})
