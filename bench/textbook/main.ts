/** One of the textbook's three services as a process: ROLE says which. */
import type { Server } from '@oms/chassis/server'
import { createInventory, inventoryRoutes } from './inventory.ts'
import { orderRoutes } from './order.ts'
import { createHttpParticipants } from './participants.ts'
import { createPayments, paymentRoutes } from './payment.ts'
import { createSaga, type Saga } from './saga.ts'
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

async function relayAll({ relay }: Saga): Promise<void> {
  while ((await relay()) === 128);
}

const ROLES: Readonly<Record<Role, (server: Server) => void>> = {
  order(server) {
    const inventory = createUpstream(server, 'inventory', env['INVENTORY_URL'] ?? '', true)
    const payment = createUpstream(server, 'payment', env['PAYMENT_URL'] ?? '', true)
    const saga = createSaga(pool, createHttpParticipants(inventory, payment))
    orderRoutes(server, saga)
    repeat(RELAY_INTERVAL_MS, () => relayAll(saga))
    repeat(SWEEP_INTERVAL_MS, saga.recover)
  },
  inventory: (server) => inventoryRoutes(server, createInventory(pool)),
  payment(server) {
    const url = env['PSP_URL']
    const processor =
      url === undefined ? undefined : createUpstream(server, 'card-processor', url, false)
    paymentRoutes(server, createPayments(pool, processor))
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
