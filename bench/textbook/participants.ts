/** Whom the textbook's saga asks, over HTTP. */
import { ORDER_HEADER, TENANT_HEADER } from '@oms/contracts/headers'
import { ReservationBody, SettledPage } from '@oms/contracts/inventory'
import { Refused } from './inventory.ts'
import { PaymentBody } from './payment.ts'
import type { Participants } from './saga.ts'
import type { Upstream } from './upstream.ts'

export function createHttpParticipants(inventory: Upstream, payment: Upstream): Participants {
  return {
    async reserve(tenantId, body) {
      const { status } = await inventory.post({
        path: '/reservations',
        body,
        headers: headersOf(tenantId, body.order_id),
        answers: { 201: ReservationBody, 409: Refused },
      })
      return status === 201
    },

    async charge(tenantId, body) {
      const { status } = await payment.post({
        path: '/payments',
        body,
        headers: headersOf(tenantId, body.order_id),
        answers: { 201: PaymentBody, 402: PaymentBody },
      })
      return status === 201
    },

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

function headersOf(tenantId: string, orderId: string): Record<string, string> {
  return { [TENANT_HEADER]: tenantId, [ORDER_HEADER]: orderId }
}
