/** Order-service over HTTP, asked for one thing: what becomes of a reservation. */
import { faultPoint } from '@oms/chassis/fault-point'
import { type HttpClient, NoAnswer } from '@oms/chassis/http-client'
import { IDEMPOTENCY_KEY_HEADER, ORDER_HEADER, TENANT_HEADER } from '@oms/contracts/headers'
import { ReservationVerdictBody } from '@oms/contracts/order'
import type { Orders } from '../domain/ports.ts'

/** 500 ms: one short statement of order-service. Who gets no answer asks again after 60 s. */
const ASK_TIMEOUT_MS = 500

export function createOrderClient(orderService: HttpClient): Orders {
  return {
    async verdictOf({ tenantId, orderId }) {
      try {
        const { body } = await orderService.send({
          method: 'POST',
          path: `/internal/v1/orders/${orderId}/reservation-verdict`,
          route: '/internal/v1/orders/:orderId/reservation-verdict',
          headers: {
            [TENANT_HEADER]: tenantId,
            [ORDER_HEADER]: orderId,
            [IDEMPOTENCY_KEY_HEADER]: orderId,
          },
          body: {},
          timeoutMs: ASK_TIMEOUT_MS,
          answers: { 200: ReservationVerdictBody },
        })
        await faultPoint('inventory.expiry.answered')
        const { order_id, verdict } = body as ReservationVerdictBody
        return order_id === orderId ? verdict : undefined
      } catch (error) {
        if (error instanceof NoAnswer) return undefined
        throw error
      }
    },
  }
}
