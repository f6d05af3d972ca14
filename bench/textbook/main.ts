/** One of the textbook's three services as a process: ROLE says which. */
import type { Server } from '@oms/chassis/server'
import { inventoryRoutes } from './inventory.ts'
import { type OrderLoops, orderRoutes } from './order.ts'
import { paymentRoutes } from './payment.ts'
import { createTextbookServer, type Role } from './server.ts'
import { createPool } from './transaction.ts'
import { createUpstream } from './upstream.ts'

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

async function relayAll({ relay }: OrderLoops): Promise<void> {
  while ((await relay()) === 128);
}

const ROLES: Readonly<Record<Role, (server: Server) => void>> = {
  order(server) {
    const loops = orderRoutes(server, {
      pool,
      inventory: createUpstream(server, 'inventory', env['INVENTORY_URL'] ?? '', true),
      payment: createUpstream(server, 'payment', env['PAYMENT_URL'] ?? '', true),
    })
    repeat(RELAY_INTERVAL_MS, () => relayAll(loops))
    repeat(SWEEP_INTERVAL_MS, loops.recover)
  },
  inventory: (server) => inventoryRoutes(server, pool),
  payment(server) {
    const url = env['PSP_URL']
    const processor =
      url === undefined ? undefined : createUpstream(server, 'card-processor', url, false)
    paymentRoutes(server, pool, processor)
  },
}

const role = env['ROLE'] as Role
if (!(role in ROLES)) throw new Error(`ROLE must be one of ${Object.keys(ROLES).join(', ')}.`)
const server = createTextbookServer(role, env)
ROLES[role](server)
await pool.query('SELECT 1')
await server.listen({ host: '127.0.0.1', port: Number(env['PORT']) })
server.chassis.phase = 'ready'
process.on('SIGTERM', () => process.exit(0))
