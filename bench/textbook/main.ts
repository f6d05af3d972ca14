/** One of the textbook's three services as a process: ROLE says which. */
import type { FastifyInstance } from 'fastify'
import { buildInventory } from './inventory.ts'
import { buildOrder, type OrderService } from './order.ts'
import { buildPayment } from './payment.ts'
import { createPool } from './transaction.ts'
import { createUpstreamPool } from './upstream.ts'

/** As ours: the outbox every 200 ms, what stands still every second. */
const RELAY_INTERVAL_MS = 200
const SWEEP_INTERVAL_MS = 1000

const env = process.env as Readonly<Record<string, string>>
const pool = createPool(env['DATABASE_URL'] ?? '')

function repeat(ms: number, pass: () => Promise<unknown>): void {
  const again = (): void => {
    void pass()
      .catch((error: unknown) => console.error(error))
      .finally(() => setTimeout(again, ms))
  }
  setTimeout(again, ms)
}

async function relayAll({ relay }: OrderService): Promise<void> {
  while ((await relay()) === 128);
}

function startOrder(): FastifyInstance {
  const service = buildOrder({
    pool,
    inventory: createUpstreamPool(env['INVENTORY_URL'] ?? ''),
    payment: createUpstreamPool(env['PAYMENT_URL'] ?? ''),
  })
  repeat(RELAY_INTERVAL_MS, () => relayAll(service))
  repeat(SWEEP_INTERVAL_MS, service.recover)
  return service.server
}

const ROLES: Readonly<Record<string, () => FastifyInstance>> = {
  order: startOrder,
  inventory: () => buildInventory(pool),
  payment() {
    const url = env['PSP_URL']
    return buildPayment(pool, url === undefined ? undefined : createUpstreamPool(url))
  },
}

const start = ROLES[env['ROLE'] ?? '']
if (start === undefined) throw new Error(`ROLE must be one of ${Object.keys(ROLES).join(', ')}.`)
const server = start()
server.get('/health', () => ({ status: 'ok' }))
await pool.query('SELECT 1')
await server.listen({ host: '127.0.0.1', port: Number(env['PORT']) })
process.on('SIGTERM', () => process.exit(0))
