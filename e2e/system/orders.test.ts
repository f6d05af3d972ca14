import { randomUUID } from 'node:crypto'
import { eventually } from '@oms/chassis/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestSystem, type TestSystem } from './testing.ts'

let running: TestSystem

beforeAll(async () => {
  running = await startTestSystem()
})
afterAll(() => running.close())

async function charges(orderId: string): Promise<readonly { readonly status: string }[]> {
  const reference = encodeURIComponent(`oms:local:acme:${orderId}`)
  const response = await fetch(
    `${running.system.urls.processor}/v1/charges?merchant_reference=${reference}`,
  )
  return ((await response.json()) as { data: { status: string }[] }).data
}

async function cancelUnderWay(key: string, token: string): Promise<void> {
  const placing = running.client.place({ key, token })
  await eventually('the charge is under way', async () => {
    const [row] = await running.query('payment', 'SELECT FROM oms.payment WHERE order_id = $1', [
      key,
    ])
    return row !== undefined
  })
  await running.client.cancel(key)
  await placing
}

describe('an order', () => {
  test.each([
    ['pm_approve0001', 201, 'succeeded'],
    ['pm_decline0001', 402, 'declined'],
    ['pm_slow00000001', 201, 'succeeded'],
    ['pm_lost00000001', 201, 'succeeded'],
    ['pm_error0000001', 201, 'succeeded'],
  ])('paid with %s ends as %i, with one charge that %s', async (token, status, outcome) => {
    const key = randomUUID()
    const end = await running.client.placeToEnd({ key, token })
    expect(end.status).toBe(status)
    expect((await charges(key)).map((charge) => charge.status)).toEqual([outcome])
    const again = await running.client.place({ key, token })
    expect(again.text).toBe(end.text)
  })

  test('without stock is refused, names the SKU and is never charged', async () => {
    const key = randomUUID()
    const end = await running.client.placeToEnd({
      key,
      lines: [{ sku: 'LIMITED-PRINT', quantity: 1 }],
    })
    expect(end.status).toBe(409)
    expect(end.body['unavailable_skus']).toEqual(['LIMITED-PRINT'])
    expect(await charges(key)).toEqual([])
  })

  test('cancelled while its charge is under way gives the money back', async () => {
    const key = randomUUID()
    await cancelUnderWay(key, 'pm_slow00000001')
    const end = await running.client.placeToEnd({ key, token: 'pm_slow00000001' })
    expect(end.body['type']).toMatch(/order-cancelled$/)
    const [payment] = await running.query(
      'payment',
      'SELECT state, refunded_minor = amount_minor AS refunded FROM oms.payment WHERE order_id = $1',
      [key],
    )
    expect(payment).toEqual({ state: 2, refunded: true })
  })

  test('is announced once in its tenant’s feed, with the stock settled before', async () => {
    const key = randomUUID()
    await running.client.placeToEnd({ key, tenant: 'globex' })
    const event = await eventually('the event', async () => {
      const { body } = await running.client.read('/api/v1/orders/events?limit=100', 'globex')
      const items = body['items'] as readonly { order_id: string; type: string }[]
      return items.find((item) => item.order_id === key)
    })
    expect(event.type).toBe('order.confirmed')
    const [reservation] = await running.query(
      'inventory',
      'SELECT state FROM oms.reservation WHERE order_id = $1',
      [key],
    )
    expect(reservation).toEqual({ state: 2 })
  })

  test('of one trace passes through all three services', async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
    const key = randomUUID()
    const response = await fetch(`${running.system.urls.order}/api/v1/orders`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-tenant-id': 'acme',
        'idempotency-key': key,
        traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
      },
      body: JSON.stringify({
        currency: 'EUR',
        lines: [{ sku: 'MUG-BLUE', quantity: 1 }],
        payment_token: 'pm_approve0001',
      }),
    })
    expect(response.headers.get('x-trace-id')).toBe(traceId)
    for (const name of ['order', 'payment', 'inventory'] as const) {
      const line = await eventually(`the log line of ${name}`, () =>
        running
          .logLines(name)
          .find((each) => each['order_id'] === key && each['msg'] === 'request'),
      )
      expect(line['trace_id']).toBe(traceId)
    }
  })
})

test('after all of it the audit is green', () => running.requireGreenAudit())
