/** Inventory-service over HTTP: reserve, release, and settle in batches. */

import { faultPoint } from '@oms/chassis/fault-point'
import type { HttpClient } from '@oms/chassis/http-client'
import { TENANT_HEADER } from '@oms/contracts/headers'
import {
  OutOfStock,
  ReservationBody,
  ReservationCommitted,
  ReservationReleased,
  SettledPage,
} from '@oms/contracts/inventory'
import { IdempotencyKeyReused } from '@oms/contracts/order'
import type { Inventory } from '../domain/ports.ts'
import { contradiction, createParticipant, type Question, stateOf } from './participant.ts'

/** 2.2 s: above the mesh's route timeout of 2 s, which answers first. */
const INVENTORY_TIMEOUT_MS = 2200

const PATH = '/api/v1/reservations'

export function createInventoryClient(client: HttpClient): Inventory {
  const ask = createParticipant(client)

  return {
    async reserve(order) {
      await faultPoint('order.reserve.sent')
      const question: Question = {
        method: 'POST',
        path: PATH,
        route: PATH,
        timeoutMs: INVENTORY_TIMEOUT_MS,
        body: {
          order_id: order.orderId,
          lines: order.lines.map(({ sku, quantity }) => ({ sku, quantity })),
        },
        answers: { 201: ReservationBody },
        refusals: [
          [
            OutOfStock,
            ({ unavailable_skus }) => ({
              answer: 'rejected',
              unavailableSkus: Array.isArray(unavailable_skus) ? unavailable_skus.map(String) : [],
            }),
          ],
          [ReservationReleased, () => ({ answer: 'released' })],
          contradiction(IdempotencyKeyReused),
        ],
      }
      const told = await ask(order, question, ({ body }) => ({
        answer: stateOf(body, ['held', 'committed']),
      }))
      await faultPoint('order.reserve.answered')
      return told
    },

    async release(order) {
      const question: Question = {
        method: 'POST',
        path: `${PATH}/${order.orderId}/release`,
        route: `${PATH}/{orderId}/release`,
        timeoutMs: INVENTORY_TIMEOUT_MS,
        answers: { 200: ReservationBody },
        refusals: [contradiction(ReservationCommitted)],
      }
      const told = await ask(order, question, ({ body }) => ({
        answer: stateOf(body, ['released', 'rejected']),
      }))
      await faultPoint('order.release.answered')
      return told
    },

    async settle(tenantId, orderIds) {
      const { body } = await client.send({
        method: 'POST',
        path: `${PATH}/settle`,
        route: `${PATH}/settle`,
        timeoutMs: INVENTORY_TIMEOUT_MS,
        headers: { [TENANT_HEADER]: tenantId },
        body: { order_ids: orderIds },
        answers: { 200: SettledPage },
      })
      await faultPoint('order.relay.settled')
      const { items } = body as SettledPage
      return new Map(items.map(({ order_id, state }) => [order_id, state]))
    },
  }
}
