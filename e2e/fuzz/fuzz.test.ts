import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TEST_PASSWORD } from '@oms/chassis/testing'
import { buildProcessor, type Processor } from 'card-processor/src/app.ts'
import fc from 'fast-check'
import { Check } from 'typebox/schema'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { createWorld, type World } from '../in-process/world.ts'
import { type Answer, complaintOf, unlikeRefusal } from './conformance.ts'
import { type Operation, operationsOf } from './documents.ts'
import { faultsOf, goodRequests, type Rendered, render } from './requests.ts'
import { invalid, type Known, valid } from './values.ts'

const REQUESTS = 300
/** Fixed: what turns red is the change, not the day. `verify:fuzz` takes a new one every time. */
const SEED = 20_261_125

const OPERATIONS = [
  'services/order',
  'services/payment',
  'services/inventory',
  'processor',
].flatMap(operationsOf)

const SKUS = ['BEANS', 'MUG']
/** Few enough to meet what another request has made. */
const IDS = Array.from(
  { length: 12 },
  (_, index) => `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
)
const TENANTS = ['acme', 'globex']

const KNOWN = {
  lines: fc.constantFrom(
    [{ sku: 'BEANS', quantity: 1 }],
    SKUS.map((sku) => ({ sku, quantity: 2 })),
  ),
  sku: fc.constantFrom(...SKUS),
  order_id: fc.constantFrom(...IDS),
  orderId: fc.constantFrom(...IDS),
  'idempotency-key': fc.constantFrom(...IDS),
  'x-tenant-id': fc.constantFrom(...TENANTS),
  'x-request-deadline-ms': fc.constantFrom('10000', 'soon'),
  currency: fc.constant('EUR'),
  payment_token: fc.constantFrom('pm_approve0001', 'pm_decline0001', 'pm_norefund001'),
  refund_no: fc.constant(1),
}

let world: World
let processor: Processor
let folder: string
let known: Known
let send: (of: string, request: Rendered) => Promise<Answer>

beforeAll(async () => {
  const base = inject('postgresUrl')
  const unlimited = '1000000'
  world = await createWorld({
    superuserUrl: (database) => `${base}/${database}`,
    password: TEST_PASSWORD,
    env: {
      POOL_SIZE: '10',
      TENANT_ORDERS_PER_SECOND: unlimited,
      TENANT_CANCELS_PER_SECOND: unlimited,
    },
  })
  for (const tenantId of TENANTS)
    for (const sku of SKUS) {
      await world.order.orders.setPrice({ tenantId, sku, currency: 'EUR', unitPriceMinor: 100 })
      await world.inventory.stock.supply({ tenantId, sku, supplied: 10_000_000 })
    }
  // Half of the ids have an order, a payment and a settled reservation in each tenant.
  for (const tenant of TENANTS)
    for (const key of IDS.slice(IDS.length / 2))
      await world.client.place({ tenant, key, lines: [{ sku: 'MUG', quantity: 1 }] })
  await world.order.relay()
  folder = mkdtempSync(join(tmpdir(), 'oms-fuzz-'))
  processor = await buildProcessor({
    dataDir: folder,
    seed: 'fuzz',
    slowMs: 10,
    pid: process.pid,
    isRunning: () => false,
  })
  const charge = await make('charges', { currency: 'EUR', source: 'pm_approve0001' })
  const refund = await make('refunds', { charge })
  known = {
    ...KNOWN,
    id: fc.constantFrom(charge, refund),
    charge: fc.constant(charge),
    amount: fc.constant(1),
  }
  const servers = {
    'services/order': world.order.server,
    'services/payment': world.payment.server,
    'services/inventory': world.inventory.server,
    processor: processor.server,
  } as const
  send = async (of, request) => {
    const { statusCode, headers, body } = await servers[of as keyof typeof servers].inject(request)
    return { status: statusCode, contentType: String(headers['content-type']), text: body }
  }
})
afterAll(async () => {
  await world.close()
  await processor.close()
  rmSync(folder, { recursive: true })
})

/** An object of the card processor; resolves with its id. */
async function make(kind: 'charges' | 'refunds', fields: object): Promise<string> {
  const answer = await processor.server.inject({
    method: 'POST',
    url: `/v1/${kind}`,
    headers: { 'idempotency-key': kind },
    payload: { amount: kind === 'charges' ? 1_000_000 : 1, merchant_reference: 'fuzz', ...fields },
  })
  return answer.json<{ readonly id: string }>().id
}

function title({ of, method, path }: Operation): string {
  return `${of.split('/').at(-1)} ${method} ${path}`
}

describe('what a schema refuses', () => {
  const bodies = OPERATIONS.flatMap((operation) =>
    operation.body === undefined ? [] : [[title(operation), operation.body] as const],
  )

  test.each(bodies)('is told apart from what it takes: %s', (_title, schema) => {
    fc.assert(fc.property(valid(schema), (value) => Check(schema as never, value)))
    fc.assert(fc.property(invalid(schema), (value) => !Check(schema as never, value)))
  })
})

describe.concurrent(`${REQUESTS} requests from the schema, good and bad`, () => {
  test.each(OPERATIONS.map((operation) => [title(operation), operation] as const))(
    '%s answers each as documented, refuses every bad one and tells nothing of its inside',
    async (_title, operation) => {
      const good = goodRequests(operation, known)
      const faults = faultsOf(operation, good)
      const seen = { good: new Set<number>(), faults: new Set<string>() }
      const cases = fc.oneof(
        {
          weight: faults.length + 1,
          arbitrary: good.map((request) => ({ request, fault: undefined })),
        },
        ...faults.map(({ requests, ...fault }) => requests.map((request) => ({ request, fault }))),
      )
      await fc.assert(
        fc.asyncProperty(cases, async ({ request, fault }) => {
          const rendered = render(operation, request)
          const answer = await send(operation.of, rendered)
          const wrong =
            complaintOf(operation, answer) ??
            (fault === undefined ? undefined : unlikeRefusal(fault, answer))
          if (wrong !== undefined) throw new Error(`${wrong}\n${JSON.stringify(rendered)}`)
          if (fault === undefined) seen.good.add(answer.status)
          else seen.faults.add(fault.name)
        }),
        { numRuns: REQUESTS, seed: SEED },
      )
      // What never happened was never checked.
      expect([...seen.good].some((status) => status < 300)).toBe(true)
      expect(seen.faults).toEqual(new Set(faults.map(({ name }) => name)))
    },
  )
})
