import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { eventually } from '@oms/chassis/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ProgramName } from './system.ts'
import { startTestSystem, type TestSystem } from './testing.ts'

const PRELOAD = `--import=${join(import.meta.dirname, 'crash-at.mjs')}`

let running: TestSystem

/** Restarts a service so that it dies at `point`, lets `work` lead it there, and brings it back. */
async function crashAt(
  name: ProgramName,
  point: string,
  work: () => Promise<unknown>,
): Promise<void> {
  const program = running.system.programs[name]
  await program.stop()
  await program.start({ NODE_OPTIONS: PRELOAD, CRASH_AT: point })
  await work()
  await program.gone()
  await program.start()
}

/** What the caller sees of a process that dies under the request. */
const ignoreReset = (): undefined => undefined

beforeAll(async () => {
  running = await startTestSystem()
})
afterAll(() => running.close())

const accepted = randomUUID()
const captured = randomUUID()
const refused = randomUUID()
const settled = randomUUID()

test('an order accepted by a process that dies at once is driven by the next one', async () => {
  await crashAt('order', 'order.t1.after_commit', () =>
    running.client.place({ key: accepted }).catch(ignoreReset),
  )
  const read = await running.client.read(`/api/v1/orders/${accepted}`)
  expect(read.body['state']).toBe('pending')
})

test('a charge that the processor took and payment did not write down is found under its key', async () => {
  await crashAt('payment', 'payment.psp.answered', () => running.client.place({ key: captured }))
  const end = await running.client.placeToEnd({ key: captured })
  expect(end.status).toBe(201)
  const [payment] = await running.query<{ attempt: number }>(
    'payment',
    'SELECT attempt FROM oms.payment WHERE order_id = $1 AND state = 2',
    [captured],
  )
  expect(payment?.attempt).toBeGreaterThan(0)
})

test('a cancel that finds the money captured refunds it; a refused refund waits for an operator', async () => {
  const token = 'pm_norefund0001'
  await crashAt('order', 'order.charge.answered', () =>
    running.client.place({ key: refused, token }).catch(ignoreReset),
  )
  const cancel = await running.client.cancel(refused)
  expect(cancel.status).toBe(202)
  expect(cancel.body['state']).toBe('refunding')
  const alert = await eventually('the alert', () =>
    running.logLines('payment').find(({ order_id, level }) => order_id === refused && level === 50),
  )
  expect(alert['msg']).toContain('retry-refund')
  const told = await running.system.operate('payment', 'retry-refund', refused)
  expect(told).toContain('refund 2: done')
  const end = await running.client.placeToEnd({ key: refused, token })
  expect(end.body['type']).toMatch(/order-cancelled$/)
})

test('an event whose publisher died after the settle is announced once', async () => {
  await crashAt('order', 'order.relay.settled', () =>
    running.client.place({ key: settled }).catch(ignoreReset),
  )
  await eventually('the event', async () => {
    const { body } = await running.client.read('/api/v1/orders/events?limit=100')
    const items = body['items'] as readonly { order_id: string }[]
    return items.some(({ order_id }) => order_id === settled)
  })
})

test('all of them end, and the audit is green', async () => {
  const end = await running.client.placeToEnd({ key: accepted })
  expect(end.status).toBe(201)
  await running.requireGreenAudit(15)
})
