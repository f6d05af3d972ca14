/** Whom the textbook's saga asks, over HTTP. */
import { ORDER_HEADER, TENANT_HEADER } from '@oms/contracts/headers'
import { ReservationBody, SettledPage } from '@oms/contracts/inventory'
import { Refused } from './inventory.ts'
import { PaymentBody } from './payment.ts'
import type { Participants } from './saga.ts'
import type { Call, Upstream } from './upstream.ts'

export function createHttpParticipants(inventory: Upstream, payment: Upstream): Participants {
  return {
    reserve: (tenantId, body) =>
      agrees(inventory, tenantId, {
        path: '/reservations',
        body,
        answers: { 201: ReservationBody, 409: Refused },
      }),

    charge: (tenantId, body) =>
      agrees(payment, tenantId, {
        path: '/payments',
        body,
        answers: { 201: PaymentBody, 402: PaymentBody },
      }),

    async release(tenantId, orderId) {
      await inventory.post({
        path: `/reservations/${orderId}/release`,
        route: '/reservations/{orderId}/release',
        body: {},
        headers: headersOf(tenantId, orderId),
        answers: { 200: SettledPage },
      })
    },

    async settle(tenantId, orderIds) {
      await inventory.post({
        path: '/reservations/settle',
        body: { order_ids: orderIds },
        headers: { [TENANT_HEADER]: tenantId },
        answers: { 200: SettledPage },
      })
    },
  }
}

async function agrees(
  upstream: Upstream,
  tenantId: string,
  call: Call & { readonly body: { readonly order_id: string } },
): Promise<boolean> {
  const headers = headersOf(tenantId, call.body.order_id)
  return (await upstream.post({ ...call, headers })).status === 201
}

function headersOf(tenantId: string, orderId: string): Record<string, string> {
  return { [TENANT_HEADER]: tenantId, [ORDER_HEADER]: orderId }
}
