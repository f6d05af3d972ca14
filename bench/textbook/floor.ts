/** The textbook's statements alone: the same saga in one process, whose participants are called, not asked over HTTP. */
import { createBareUpstream } from '../bare-upstream.ts'
import type { Floor, FloorOptions } from '../floor.ts'
import { createInventory } from './inventory.ts'
import { createPayments } from './payment.ts'
import { createSaga } from './saga.ts'
import { createPool } from './transaction.ts'

export function createTextbookFloor({ databaseUrl, processorUrl }: FloorOptions): Floor {
  const processor = processorUrl === undefined ? undefined : createBareUpstream(processorUrl)
  const pools = {
    order: createPool(databaseUrl('order')),
    payment: createPool(databaseUrl('payment')),
    inventory: createPool(databaseUrl('inventory')),
  }
  const inventory = createInventory(pools.inventory)
  const payments = createPayments(pools.payment, processor)
  const saga = createSaga(pools.order, {
    reserve: async (tenantId, body) =>
      typeof (await inventory.reserve(tenantId, body)) !== 'string',
    charge: async (tenantId, body) => (await payments.charge(tenantId, body)).state === 'captured',
    release: inventory.release,
    settle: inventory.settle,
  })

  return {
    async place({ tenantId, orderId, currency, lines, paymentToken }) {
      const body = { currency, lines: [...lines], payment_token: paymentToken }
      return (await saga.place(tenantId, orderId, body))?.state === 'confirmed'
    },

    async close() {
      await Promise.all(Object.values(pools).map((pool) => pool.end()))
      await processor?.close()
    },
  }
}
