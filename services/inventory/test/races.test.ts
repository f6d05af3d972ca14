import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Line } from '../src/domain/reservation.ts'
import { line, oversold, type Service, startService } from './service.ts'

/** Connections, each with a caller of its own. */
const CALLERS = 16

let service: Service

beforeAll(async () => {
  service = await startService({ POOL_SIZE: String(CALLERS) }, CALLERS)
})

afterAll(async () => {
  expect(await oversold(service)).toEqual([])
  await service.stop()
})

const key = (orderId: string) => ({ tenantId: 'acme', orderId })

const reserve = (orderId: string, lines: readonly Line[]) =>
  service.app.stock.reserve({ ...key(orderId), lines, fingerprint: '00' })

/** Runs `work` so many times, `CALLERS` at once; an error of any ends the test. */
async function contend(times: number, work: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0
  await Promise.all(
    Array.from({ length: CALLERS }, async () => {
      while (next < times) await work(next++)
    }),
  )
}

const shuffled = <T>(items: readonly T[]): readonly T[] =>
  items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)

describe('many callers at once', () => {
  test('that reserve the same order all get its row, and it is reserved once', async () => {
    const sku = await service.sku(1000)
    const orders = Array.from({ length: 20 }, () => randomUUID())
    const roles: string[] = []
    // The same order sixteen times in a row, so that its callers meet.
    await contend(orders.length * CALLERS, async (n) => {
      const { role, reservation } = await reserve(orders[Math.floor(n / CALLERS)] as string, [
        line(sku),
      ])
      expect(reservation.state).toBe('held')
      roles.push(role)
    })
    expect(roles).toHaveLength(320)
    expect(roles.filter((role) => role === 'fresh')).toHaveLength(20)
    expect(await service.level(sku)).toEqual({ available: 980, reserved: 20, sold: 0 })
  })

  test('that name two hot SKUs in either order neither deadlock nor oversell', async () => {
    const [a, b] = [await service.sku(100), await service.sku(150)]
    let held = 0
    await contend(160, async (n) => {
      const lines = n % 2 === 0 ? [line(a), line(b)] : [line(b), line(a)]
      const { reservation } = await reserve(randomUUID(), lines)
      if (reservation.state === 'held') held++
      else expect(reservation.unavailableSkus).toEqual([a])
    })
    expect(held).toBe(100)
    expect(await service.level(a)).toEqual({ available: 0, reserved: 100, sold: 0 })
    expect(await service.level(b)).toEqual({ available: 50, reserved: 100, sold: 0 })
  })

  test('that reserve, settle and release many SKUs in any order do not deadlock', async () => {
    const skus = await Promise.all(Array.from({ length: 8 }, () => service.sku(10_000)))
    await contend(96, async (n) => {
      const order = randomUUID()
      await reserve(
        order,
        shuffled(skus).map((sku) => line(sku)),
      )
      if (n % 2 === 0) await service.app.stock.settle('acme', [order])
      else await service.app.stock.release(key(order))
    })
    for (const sku of skus)
      expect(await service.level(sku)).toEqual({ available: 9952, reserved: 0, sold: 48 })
  })

  test('that settle crossing batches commit every order once', async () => {
    const skus = await Promise.all(Array.from({ length: 4 }, () => service.sku(1000)))
    const orders = Array.from({ length: 64 }, () => randomUUID())
    await contend(orders.length, (n) =>
      reserve(
        orders[n] as string,
        shuffled(skus).map((sku) => line(sku)),
      ),
    )
    let fresh = 0
    await contend(32, async () => {
      const settled = await service.app.stock.settle('acme', shuffled(orders))
      expect(settled).toHaveLength(64)
      expect(settled.every(({ reservation }) => reservation.state === 'committed')).toBe(true)
      fresh += settled.filter(({ role }) => role === 'fresh').length
    })
    expect(fresh).toBe(64)
    for (const sku of skus)
      expect(await service.level(sku)).toEqual({ available: 936, reserved: 0, sold: 64 })
  })

  test('that release while others reserve the order leave nothing held', async () => {
    const sku = await service.sku(1000)
    const orders = Array.from({ length: 60 }, () => randomUUID())
    await contend(orders.length * 2, async (n) => {
      const order = orders[Math.floor(n / 2)] as string
      if (n % 2 === 0) {
        const { reservation } = await reserve(order, [line(sku)])
        expect(['held', 'released']).toContain(reservation.state)
      } else {
        const { reservation } = await service.app.stock.release(key(order))
        expect(reservation.state).toBe('released')
      }
    })
    for (const order of orders) expect(await service.row(order)).toMatchObject({ state: 3 })
    expect(await service.level(sku)).toEqual({ available: 1000, reserved: 0, sold: 0 })
  })

  test('that settle and release the same order agree on one end', async () => {
    const sku = await service.sku(1000)
    const orders = Array.from({ length: 60 }, () => randomUUID())
    for (const order of orders) await reserve(order, [line(sku)])
    const said = new Map<string, Set<string>>(orders.map((order) => [order, new Set()]))
    await contend(orders.length * 2, async (n) => {
      const order = orders[Math.floor(n / 2)] as string
      const settles = (n + Math.floor(n / 2)) % 2 === 0
      const state = settles
        ? (await service.app.stock.settle('acme', [order]))[0]?.reservation.state
        : (await service.app.stock.release(key(order))).reservation.state
      said.get(order)?.add(state as string)
    })
    const ends = [...said.values()].map((states) => [...states])
    expect(ends.every((states) => states.length === 1)).toBe(true)
    const sold = ends.flat().filter((state) => state === 'committed').length
    expect(await service.level(sku)).toEqual({ available: 1000 - sold, reserved: 0, sold })
  })

  test('that supply while others reserve lose no unit', async () => {
    const sku = await service.sku(0)
    let held = 0
    await contend(120, async (n) => {
      if (n % 4 === 0) await service.app.stock.supply({ ...key(''), sku, supplied: n })
      else if ((await reserve(randomUUID(), [line(sku)])).reservation.state === 'held') held++
    })
    expect(await service.level(sku)).toEqual({ available: 116 - held, reserved: held, sold: 0 })
  })
})
