/**
 * The three services in this process. A crash: what came by the point never goes on, the application it belongs to is
 * cut off and abandoned, and a fresh one takes over its port and database.
 */
import type { Row } from '@oms/audit/audit'
import { formatReport } from '@oms/audit/report'
import { createWorld, type WorldOptions } from '../in-process/world.ts'
import { DEMO_LINES } from '../system/client.ts'
import type { Service } from '../system/system.ts'
import { serviceOf } from './points.ts'
import { endLeases, type Site } from './site.ts'

/** More than any recovery needs; each round ends every lease. */
const MAX_ROUNDS = 40

const HOOK = Symbol.for('oms.fault-point')

/** One at a time: the fault points' hook is the process's. */
export async function createInProcessSite(options: WorldOptions): Promise<Site> {
  const world = await createWorld(options)
  for (const { sku } of DEMO_LINES) {
    const article = { tenantId: 'acme', sku }
    await world.order.orders.setPrice({ ...article, currency: 'EUR', unitPriceMinor: 1250 })
    await world.inventory.stock.supply({ ...article, supplied: 100_000 })
  }

  const armed = new Set<string>()
  const hits: string[] = []
  const dead = new Set<Service>()
  const away = new Set<Service>()
  let died = Promise.withResolvers<void>()

  function comeBy(point: string): Promise<void> | undefined {
    if (!armed.delete(point)) return undefined
    hits.push(point)
    const service = serviceOf(point)
    dead.add(service)
    world.kill(service)
    died.resolve()
    return new Promise(() => undefined)
  }
  Object.assign(globalThis, { [HOOK]: comeBy })

  /** In this order payment finds an open charge before the order's next driver asks for it again. */
  const loops = [
    { of: 'payment', pass: () => world.payment.resume() },
    { of: 'inventory', pass: () => world.inventory.expire() },
    { of: 'order', pass: () => world.order.recover() },
    { of: 'order', pass: () => world.order.relay() },
  ] as const

  async function revive(): Promise<void> {
    for (const service of dead) await world.revive(service)
    dead.clear()
    died = Promise.withResolvers()
  }

  async function round(): Promise<void> {
    await revive()
    await endLeases(world.query)
    for (const { of, pass } of loops) {
      if (away.has(of)) continue
      // The pass of a service that dies never ends; one that meets a dead service does.
      const running = pass()
      await Promise.race([running, died.promise])
      if (!dead.has(of)) await running
      if (dead.size > 0) return
    }
  }

  async function heal(): Promise<void> {
    for (const service of away) world.links[service].weather = 'up'
    away.clear()
    await revive()
  }

  async function underWay(): Promise<boolean> {
    const left = await Promise.all([
      world.query(
        'order',
        'SELECT FROM oms.orders WHERE state < 100 UNION ALL SELECT FROM oms.outbox',
      ),
      world.query(
        'payment',
        'SELECT FROM oms.payment WHERE state = 1 UNION ALL SELECT FROM oms.refund WHERE state = 1',
      ),
    ])
    return left.some((rows) => rows.length > 0)
  }

  async function audit(): Promise<string | undefined> {
    for (let i = 0; i < MAX_ROUNDS && (await underWay()); i++) await round()
    const rows: readonly Row[] = await world.audit()
    return rows.every(({ result }) => result === 'ok') ? undefined : formatReport([...rows])
  }

  async function close(): Promise<void> {
    armed.clear()
    await heal()
    Object.assign(globalThis, { [HOOK]: undefined })
    await world.close()
  }

  return {
    client: world.client,
    inventoryUrl: world.urls.inventory,
    query: world.query,
    maxRounds: MAX_ROUNDS,
    arm: ({ point }) => void armed.add(point),
    disarm: () => armed.clear(),
    hits: () => hits,
    round,
    revive,
    heal,
    async away(service) {
      away.add(service)
      world.links[service].weather = 'down'
    },
    audit,
    close,
  }
}
