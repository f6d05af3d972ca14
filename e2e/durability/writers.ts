/** Callers that place one order after the other and repeat each until it is acknowledged, whatever happens. */
import { randomUUID } from 'node:crypto'
import { createRandom, type Random } from '../random.ts'
import { type Client, isFinalAnswer } from '../system/client.ts'
import type { Acknowledged, Acknowledgements } from './acknowledged.ts'

/** What a caller without an answer waits for. Milliseconds. */
const PAUSE_MS = 25

const TENANTS = ['acme', 'globex'] as const
const SKUS = [
  'ESPRESSO-BEANS-1KG',
  'MOKA-POT',
  'GRINDER-BURR',
  'PAPER-FILTERS-100',
  'MUG-BLUE',
] as const
/** One order in so many: a declined card, and nothing in stock. */
const ONE_IN = 20

export interface Writers {
  /** Resolves when `count` orders are acknowledged, or nothing more is written. */
  reached(count: number): Promise<void>
  /** Resolves when all are acknowledged, or the writers were stopped. */
  readonly done: Promise<void>
  readonly acknowledged: Acknowledgements
  /** Tries without an acknowledgement. */
  unanswered(): number
  stop(): void
}

export interface WritersOptions {
  readonly client: Client
  readonly writers: number
  readonly orders: number
  readonly seed: number
}

export function startWriters({ client, writers, orders, seed }: WritersOptions): Writers {
  const acknowledged = new Map<string, Acknowledged>()
  const waiting = new Map<() => void, number>()
  let begun = 0
  let unanswered = 0
  let stopped = false

  async function write(random: Random): Promise<void> {
    while (!stopped && begun < orders) {
      begun++
      await placeUntilAcknowledged(drawOrder(random))
    }
  }

  async function placeUntilAcknowledged(order: ReturnType<typeof drawOrder>): Promise<void> {
    while (!stopped) {
      const answer = await client.place(order).catch(() => undefined)
      if (answer !== undefined && (answer.status === 202 || isFinalAnswer(answer))) {
        const { status, body } = answer
        acknowledged.set(order.key, { tenant: order.tenant, status, body })
        for (const [resolve, count] of waiting) if (acknowledged.size >= count) release(resolve)
        return
      }
      unanswered++
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
  }

  function release(resolve: () => void): void {
    waiting.delete(resolve)
    resolve()
  }

  const each = Array.from({ length: writers }, (_, index) => write(createRandom(seed + index)))
  const done = Promise.all(each).then(() => {
    for (const resolve of waiting.keys()) release(resolve)
  })

  return {
    reached: (count) =>
      new Promise((resolve) => {
        if (acknowledged.size >= count || stopped) resolve()
        else waiting.set(resolve, count)
      }),
    done,
    acknowledged,
    unanswered: () => unanswered,
    stop() {
      stopped = true
    },
  }
}

function drawOrder(random: Random) {
  const common = { key: randomUUID(), tenant: random.pick(TENANTS), token: 'pm_approve0001' }
  const lines = [{ sku: random.pick(SKUS), quantity: 1 + random.below(3) }]
  switch (random.below(ONE_IN)) {
    case 0:
      return { ...common, lines, token: 'pm_decline0001' }
    case 1:
      return { ...common, lines: [{ sku: 'LIMITED-PRINT', quantity: 1 }] }
    default:
      return { ...common, lines }
  }
}
