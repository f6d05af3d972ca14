/** What operators, loops, restarts and time do, each to the real system and to the model. */
import {
  driven,
  endsFor,
  idOf,
  type Real,
  resumeAll,
  type Script,
  standStill,
  unfinished,
  untilDecided,
} from './drivers.ts'
import {
  drive,
  expire,
  type Model,
  type ModelOrder,
  relay,
  resumePayments,
  retryRefund,
  type Ways,
} from './model.ts'
import type { Kind } from './steps.ts'

export const SYSTEM_STEPS = {
  'raise stock': {
    async run({ world }, model, { tenant, sku, by }) {
      const tenantId = model.tenants[tenant]
      const stock = model.stock.get(`${tenantId}/${sku}`) ?? { available: 0, reserved: 0, sold: 0 }
      model.stock.set(`${tenantId}/${sku}`, stock)
      stock.available += by
      const supplied = stock.available + stock.reserved + stock.sold
      await world.inventory.stock.supply({ tenantId, sku, supplied })
    },
  },

  'set a price': {
    async run({ world }, model, { tenant, sku, price }) {
      const tenantId = model.tenants[tenant]
      model.prices.set(`${tenantId}/${sku}`, price)
      await world.order.orders.setPrice({ tenantId, sku, currency: 'EUR', unitPriceMinor: price })
    },
  },

  'let a lease end and sweep': {
    candidates: unfinished,
    run: (real, model, { ways }, order) => sweep(real, model, ways, order),
  },

  'time out and sweep': {
    candidates: unfinished,
    async run(real, model, { ways }, order) {
      order.timedOut = true
      await real.world.query(
        'order',
        'UPDATE oms.orders SET decide_at = now() WHERE (tenant_id, order_id) = ($1, $2)',
        [order.tenant, order.orderId],
      )
      await sweep(real, model, ways, order)
    },
  },

  relay: {
    async run(real, model, { way }) {
      const { world } = real
      await untilDecided(real, world.links.inventory, way, async () => {
        await world.query('order', 'UPDATE oms.outbox SET next_try_at = now()')
        await world.order.relay()
      })
      relay(model, way)
    },
  },

  'let a reservation expire': {
    candidates: ({ orders }) => orders.filter(({ reservation }) => reservation === 'held'),
    async run(real, model, { way }, order) {
      const { world } = real
      await untilDecided(real, world.links.order, way, async () => {
        await world.query(
          'inventory',
          `UPDATE oms.reservation SET expires_at = ${endsFor()} WHERE state = 1`,
          idOf(order),
        )
        await world.inventory.expire()
      })
      expire(model, order, way)
    },
  },

  'resume payments': {
    async run({ world }, model) {
      await resumeAll(world)
      resumePayments(model)
    },
  },

  'retry a refund': {
    candidates: ({ orders }) => orders.filter((each) => each.refund === 'failed'),
    async run({ world }, _model, _step, order) {
      await world.payment.refundPayment({ tenantId: order.tenant, orderId: order.orderId }, true)
      retryRefund(order)
    },
  },

  restart: {
    run: ({ world }, _model, { service }) => world.restart(service),
  },
} satisfies { readonly [K in Kind]?: Script<K> }

/** A pass of the sweeper over this order alone. */
async function sweep(real: Real, model: Model, ways: Ways, order: ModelOrder): Promise<void> {
  await standStill(real, model, order)
  await driven(real, model, ways, order, () => real.world.order.recover(), {
    model() {
      drive(model, order, ways)
      return order
    },
    check: () => undefined,
  })
}
