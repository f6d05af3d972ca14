/** Announces ended orders: stock of confirmed ones is settled first, then the event moves to the tenant's feed. */
import type { Inventory, Log, Outbox, PendingEvent } from './ports.ts'

interface Dependencies {
  readonly outbox: Outbox
  readonly inventory: Inventory
  readonly log: Log
}

/** One pass over the outbox, at least once; the feed takes each event once. Returns how many events were claimed. */
export async function publishEvents(batch: number, dependencies: Dependencies): Promise<number> {
  const claimed = await dependencies.outbox.claim(batch)
  const byTenant = Map.groupBy(claimed, ({ tenantId }) => tenantId)
  // One tenant's trouble does not hold up the others.
  const ended = await Promise.allSettled(
    [...byTenant].map(([tenantId, events]) => publishTenant(tenantId, events, dependencies)),
  )
  for (const result of ended)
    if (result.status === 'rejected')
      dependencies.log.warn({ err: result.reason }, 'events wait for the next pass')
  return claimed.length
}

async function publishTenant(
  tenantId: string,
  events: readonly PendingEvent[],
  { outbox, inventory, log }: Dependencies,
): Promise<void> {
  const confirmed = events.filter(({ type }) => type === 'order.confirmed')
  const states =
    confirmed.length === 0
      ? new Map<string, string>()
      : await inventory.settle(
          tenantId,
          confirmed.map(({ orderId }) => orderId),
        )
  const isReady = ({ orderId, type }: PendingEvent): boolean =>
    type !== 'order.confirmed' || states.get(orderId) === 'committed'
  for (const event of events)
    if (!isReady(event))
      log.error(
        { order_id: event.orderId, reservation: states.get(event.orderId) ?? 'missing' },
        'confirmed order has no stock to settle',
      )
  const ready = events.filter(isReady)
  if (ready.length > 0) await outbox.publish(tenantId, ready)
}
