/** Order-service on one page: server, database, participants, use cases, routes, loops. */
import { createHttpClient } from '@oms/chassis/http-client'
import { every } from '@oms/chassis/lifecycle'
import { createPostgres } from '@oms/chassis/postgres'
import { createServer, type Server, type ServerOptions } from '@oms/chassis/server'
import { createPatience } from '@oms/chassis/verdict'
import { DEADLINE_HEADER, WIRE } from '@oms/contracts/headers'
import { migrations } from '../migrations/migrations.ts'
import { createInventoryClient } from './adapters/inventory-client.ts'
import { createOrderRepository } from './adapters/order-repository.ts'
import { createOutbox } from './adapters/outbox.ts'
import { createPaymentClient } from './adapters/payment-client.ts'
import type { Config } from './config.ts'
import { createCancelOrder } from './domain/cancel-order.ts'
import { createDriver } from './domain/drive-order.ts'
import { createPlaceOrder } from './domain/place-order.ts'
import type { Orders } from './domain/ports.ts'
import { publishEvents } from './domain/publish-events.ts'
import { orderRoutes } from './routes/orders.ts'

/** 10.5 s: a final answer or 202, before the gateway's 12 s. */
const ANSWER_WITHIN_MS = 10_500
/** 10 s: a pass ends before its lease of 12 s does. */
const PASS_DEADLINE_MS = 10_000
/** 300 ms of the pass to write down that payment did not answer. */
const WRITE_RESERVE_MS = 300
/** Orders of one sweep at most; fewer where permits are short. */
const SWEEP_BATCH = 16
/** As many as one settle may name. */
const RELAY_BATCH = 128

export interface OrderApp {
  readonly server: Server
  readonly orders: Orders
  /** One pass over orders whose lease ran out; the loop of `run`. */
  recover(): Promise<void>
  /** One pass over the outbox; the loop of `run`. */
  relay(): Promise<void>
}

export function buildApp(
  config: Config,
  overrides: Pick<ServerOptions, 'beforeRoutes' | 'logStream'> = {},
): OrderApp {
  const server = createServer({
    ...config,
    ...WIRE,
    ...overrides,
    serviceName: 'order-service',
    limit: config.CONCURRENCY_LIMIT,
    ownDeadlineMs: ANSWER_WITHIN_MS,
  })
  const { metrics } = server.chassis
  const transitions = metrics.counter('order_transitions_total', 'Orders moved by this replica.', [
    'from',
    'to',
  ])

  const postgres = createPostgres(server, config, migrations)
  const outbox = createOutbox(postgres)
  const orders = createOrderRepository(postgres, {
    onTransition: (from, to) => transitions.inc({ from, to }),
  })
  const payments = createPaymentClient(
    createHttpClient(server, {
      name: 'payment-service',
      origin: config.PAYMENT_SERVICE_URL,
      deadlineHeader: DEADLINE_HEADER,
      reserveMs: WRITE_RESERVE_MS,
    }),
  )
  const inventory = createInventoryClient(
    createHttpClient(server, {
      name: 'inventory-service',
      origin: config.INVENTORY_SERVICE_URL,
      deadlineHeader: DEADLINE_HEADER,
      reserveMs: WRITE_RESERVE_MS,
    }),
  )
  const { log } = server
  const patience = createPatience({ workMs: PASS_DEADLINE_MS })
  const driver = createDriver({ orders, inventory, payments, patience, log })

  orderRoutes(
    server,
    {
      placeOrder: createPlaceOrder({ orders, driver }),
      cancelOrder: createCancelOrder({ orders, driver }),
      orders,
      outbox,
    },
    config,
  )

  const sweep = every(
    server,
    {
      name: 'recover orders',
      ms: config.SWEEP_INTERVAL_MS,
      deadlineMs: PASS_DEADLINE_MS,
      // One permit less than the loops have: the relay must not wait for a slow sweep.
      maxPermits: Math.min(SWEEP_BATCH, Math.max(1, Math.floor(config.CONCURRENCY_LIMIT / 10) - 1)),
    },
    driver.recover,
  )
  const relay = every(
    server,
    {
      name: 'publish events',
      ms: config.RELAY_INTERVAL_MS,
      deadlineMs: PASS_DEADLINE_MS,
      maxPermits: 1,
      // Not woken by every order that ends: a pass is three commits, of one event or of 128.
      batch: RELAY_BATCH,
    },
    () => publishEvents(RELAY_BATCH, { outbox, inventory, log }),
  )
  server.chassis.handBack.push(driver.handBack)

  metrics.labelledGauge('orders_unfinished', 'Orders before their end.', ['state'], async (set) => {
    for (const { state, orders: count } of (await orders.gauges()).unfinished) set({ state }, count)
  })
  metrics.gauge(
    'orders_oldest_due_seconds',
    'How long the most overdue order has waited for a driver.',
    async () => (await orders.gauges()).oldestDueSeconds,
  )
  metrics.gauge(
    'outbox_oldest_seconds',
    'Age of the oldest event that is not announced.',
    async () => (await orders.gauges()).outboxOldestSeconds,
  )
  return { server, orders, recover: sweep.runOnce, relay: relay.runOnce }
}
