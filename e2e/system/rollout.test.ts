import { randomUUID } from 'node:crypto'
import { freePort } from '@oms/chassis/embedded-postgres'
import { eventually } from '@oms/chassis/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Program } from './program.ts'
import { eachAtMost, startTestSystem, type TestSystem } from './testing.ts'

const REQUESTS = 1000
const WIDTH = 8
/** The balancer hears of a replica that is not ready this much later, as a proxy would. Milliseconds. */
const LAG_MS = 400
const DRAIN = { DRAIN_DELAY_MS: String(3 * LAG_MS) }

let running: TestSystem
let other: { readonly program: Program; readonly url: string }

beforeAll(async () => {
  running = await startTestSystem({
    order: { ...DRAIN, TENANT_ORDERS_PER_SECOND: '100000' },
  })
  const port = await freePort()
  const program = running.system.replica('order', port)
  other = { program, url: `http://127.0.0.1:${port}` }
  await program.start()
})
afterAll(async () => {
  await other.program.stop()
  await running.close()
})

/** Sends in turn to the replicas that said they are ready when last asked. */
function createBalancer(urls: readonly string[]) {
  let ready = urls
  let next = 0
  let asking = true
  const asked = (async () => {
    while (asking) {
      const answers = await Promise.all(
        urls.map((url) =>
          fetch(`${url}/ready`).then(
            ({ ok }) => ok,
            () => false,
          ),
        ),
      )
      ready = urls.filter((_url, index) => answers[index])
      await new Promise((resolve) => setTimeout(resolve, LAG_MS))
    }
  })()
  return {
    pick: () => ready[next++ % ready.length] as string,
    isReady: (url: string) => ready.includes(url),
    async stop() {
      asking = false
      await asked
    },
  }
}

test('1,000 orders through the restart of both replicas: none is refused, cut off or lost', async () => {
  const { system } = running
  const clients = new Map([system.urls.order, other.url].map((url) => [url, running.clientOf(url)]))
  const balancer = createBalancer([...clients.keys()])
  const statuses = new Map<number | string, number>()
  const place = async (): Promise<void> => {
    const status = await clients
      .get(balancer.pick())
      ?.place({ key: randomUUID() })
      .then(
        (answer) => answer.status,
        (error: Error) => `${error.message} ${error.cause}`,
      )
    statuses.set(status ?? 'none', (statuses.get(status ?? 'none') ?? 0) + 1)
  }
  const sent = () => [...statuses.values()].reduce((sum, count) => sum + count, 0)
  const exits: (number | undefined)[] = []
  const restart = async (program: Program, url: string): Promise<void> => {
    exits.push(await program.stop())
    await program.start()
    await eventually('the balancer sends to it again', () => balancer.isReady(url))
  }
  const restarts = (async () => {
    await eventually('a third is sent', () => sent() > REQUESTS / 3, 60_000)
    await restart(system.programs.order, system.urls.order)
    await restart(other.program, other.url)
  })()
  // At least so many, and on until both are back: a restart outside of the load would prove nothing.
  let isOver = false
  void restarts.finally(() => {
    isOver = true
  })
  await eachAtMost(WIDTH, Array.from({ length: 20 * REQUESTS }), async () => {
    if (sent() < REQUESTS || !isOver) await place()
  })
  await restarts
  await balancer.stop()
  // 202 is accepted, too: its participants were slow, and the audit sees that it ends.
  const { 201: confirmed = 0, 202: accepted = 0, ...others } = Object.fromEntries(statuses)
  expect(others).toEqual({})
  expect(confirmed + accepted).toBe(sent())
  expect(sent()).toBeGreaterThanOrEqual(REQUESTS)
  expect(exits).toEqual([0, 0])
  await running.requireGreenAudit()
})
