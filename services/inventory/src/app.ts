/** Inventory-service on one page: server, database, order-service, use cases, routes, loop. */
import { createHttpClient } from '@oms/chassis/http-client'
import { every } from '@oms/chassis/lifecycle'
import { createPostgres } from '@oms/chassis/postgres'
import { createServer, type Server, type ServerOptions } from '@oms/chassis/server'
import { DEADLINE_HEADER, WIRE } from '@oms/contracts/headers'
import { migrations } from '../migrations/migrations.ts'
import { createOrderClient } from './adapters/order-client.ts'
import { createStockRepository } from './adapters/stock-repository.ts'
import type { Config } from './config.ts'
import type { Stock } from './domain/ports.ts'
import {
  createReleaseStock,
  createSettleStock,
  expireReservations,
} from './domain/release-stock.ts'
import { createReserveStock } from './domain/reserve-stock.ts'
import { reservationRoutes } from './routes/reservations.ts'
import { stockRoutes } from './routes/stock.ts'

/** 0.8 s: answers before the mesh's try limit of 0.9 s cuts the connection. */
const ANSWER_WITHIN_MS = 800
/** One pass of the loop: it must end before the hard stop, which comes 20 s after the drain. */
const PASS_DEADLINE_MS = 10_000
/** How many expired reservations are asked about at once; the limiter's share for loops is less. */
const EXPIRE_AT_ONCE = 16

export interface InventoryApp {
  readonly server: Server
  readonly stock: Stock
  /** One pass over expired reservations; the loop of `run`. */
  expire(): Promise<void>
}

export function buildApp(
  config: Config,
  overrides: Pick<ServerOptions, 'beforeRoutes' | 'logStream'> = {},
): InventoryApp {
  const server = createServer({
    ...config,
    ...WIRE,
    ...overrides,
    serviceName: 'inventory-service',
    limit: config.CONCURRENCY_LIMIT,
    ownDeadlineMs: ANSWER_WITHIN_MS,
  })

  const orderService = createHttpClient(server, {
    name: 'order-service',
    origin: config.ORDER_SERVICE_URL,
    deadlineHeader: DEADLINE_HEADER,
  })
  const stock = createStockRepository(createPostgres(server, config, migrations))
  const orders = createOrderClient(orderService)
  const dependencies = { stock, orders, log: server.log }

  reservationRoutes(server, {
    reserveStock: createReserveStock(dependencies),
    releaseStock: createReleaseStock(dependencies),
    settleStock: createSettleStock(dependencies),
    stock,
  })
  stockRoutes(server, { stock })

  const { runOnce: expire } = every(
    server,
    {
      name: 'ask about expired reservations',
      ms: config.EXPIRY_INTERVAL_MS,
      deadlineMs: PASS_DEADLINE_MS,
      maxPermits: EXPIRE_AT_ONCE,
    },
    (permits) => expireReservations(permits, dependencies),
  )

  server.chassis.metrics.gauge(
    'reservations_held',
    'Reservations without a verdict.',
    async () => (await stock.gauges()).held,
  )
  return { server, stock, expire }
}
