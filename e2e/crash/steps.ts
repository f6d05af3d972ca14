/** The steps of a journey, sent to a site. */
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { DEMO_LINES } from '../system/client.ts'
import { type Subject, waitUntil } from './demands.ts'
import { JOURNEYS, type Steps } from './journeys.ts'

/** So often, this long apart, a busy machine may refuse what it has not executed. */
const TRIES = 50
const PAUSE_MS = 100

/** The faults of the pass under way, and where it met one. */
export interface Progress {
  readonly armed: readonly string[]
  hits(): readonly string[]
}

export function createSteps(subject: Subject, { armed, hits }: Progress): Steps {
  const { site, point, tenantId, orderId } = subject
  const { token = '' } = JOURNEYS[point.journey]

  /** Again where nothing was executed, or no answer came though nobody met a fault; else what became of it is the point. */
  async function insist(
    send: () => Promise<{ readonly body: Readonly<Record<string, unknown>> }>,
  ): Promise<void> {
    const before = hits().length
    for (let i = 0; i < TRIES; i++) {
      const answer = await send().catch(() => undefined)
      if (hits().length > before || (answer !== undefined && answer.body['retryable'] !== true))
        return
      await sleep(PAUSE_MS)
    }
  }

  return {
    async place() {
      await insist(() => site.client.place({ tenant: tenantId, key: orderId, token }))
      const early = armed.slice(0, -1)
      await waitUntil(
        subject,
        () => early.every((each) => hits().includes(each)),
        () => `never came by ${early.join(', ')}`,
      )
    },
    cancel: () => insist(() => site.client.cancel(orderId, tenantId)),
    reserveUnknown: () => insist(() => reserve(subject)),
    async expire() {
      const due = 'UPDATE oms.reservation SET expires_at = now() WHERE order_id = $1 AND state = 1'
      await site.query('inventory', due, [orderId])
    },
    async rest() {
      const later = `UPDATE oms.orders SET next_run_at = now() + interval '1 h' WHERE order_id = $1 AND state < 100`
      await site.query('order', later, [orderId])
    },
    away: site.away,
    revive: site.revive,
    heal: site.heal,
  }
}

async function reserve({ site, tenantId, orderId }: Subject) {
  const { body } = await request(`${site.inventoryUrl}/api/v1/reservations`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'idempotency-key': orderId,
      'x-tenant-id': tenantId,
      'x-order-id': orderId,
    },
    body: JSON.stringify({ order_id: orderId, lines: DEMO_LINES }),
  })
  return { body: (await body.json()) as Readonly<Record<string, unknown>> }
}
