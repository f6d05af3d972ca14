/** The outbox and the feed in PostgreSQL. */
import { faultPoint } from '@oms/chassis/fault-point'
import { functionCall, type Postgres } from '@oms/chassis/postgres'
import type { Outbox } from '../domain/ports.ts'

const STATEMENTS = {
  claim: functionCall('order', 'claim_outbox', 1),
  publish: functionCall('order', 'publish', 3),
  events: functionCall('order', 'list_events', 3),
}

interface EventRow {
  /** bigint, hence text. */
  readonly seq: string
  readonly type: string
  readonly order_id: string
  readonly body: {
    readonly state: string
    readonly currency: string
    readonly amount_minor: number
  }
  readonly created_at: Date
}

export function createOutbox(postgres: Postgres): Outbox {
  return {
    async claim(batch) {
      type Row = { readonly tenant_id: string; readonly order_id: string; readonly type: string }
      const rows = await postgres.call<Row>(STATEMENTS.claim, [batch])
      if (rows.length > 0) await faultPoint('order.relay.claimed')
      return rows.map(({ tenant_id, order_id, type }) => ({
        tenantId: tenant_id,
        orderId: order_id,
        type,
      }))
    },

    async publish(tenantId, events) {
      await postgres.call(STATEMENTS.publish, [
        tenantId,
        events.map(({ orderId }) => orderId),
        events.map(({ type }) => type),
      ])
      await faultPoint('order.relay.published')
    },

    async events(tenantId, after, limit) {
      const rows = await postgres.call<EventRow>(STATEMENTS.events, [tenantId, after, limit])
      return rows.map(({ seq, type, order_id, body, created_at }) => ({
        seq: Number(seq),
        type,
        orderId: order_id,
        body: { state: body.state, currency: body.currency, amountMinor: body.amount_minor },
        createdAt: created_at.toISOString(),
      }))
    },
  }
}
