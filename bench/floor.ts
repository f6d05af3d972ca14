/**
 * The floor: the statements of an order, T1 R1 P T2, by the same roles on the same databases, with nothing around
 * them. No HTTP between services, no validation, no deadline; who crashes here loses nothing but repeats nothing.
 */
import { openPool } from '@oms/chassis/pool'
import { functionCall } from '@oms/chassis/postgres'
import { fingerprintOf } from '@oms/contracts/identity'
import type { Service } from '@oms/e2e/system'
import { chargeKey, merchantReference } from '@oms/payment/src/domain/payment.ts'
import type pg from 'pg'
import { type BareUpstream, createBareUpstream } from './bare-upstream.ts'
import type { OrderRequest } from './load.ts'

const T1 = functionCall('order', 'accept_order', 6)
const R1 = functionCall('inventory', 'reserve', 4)
const P_SIMULATED = functionCall('payment', 'charge_simulated', 7)
const P1 = functionCall('payment', 'begin_charge', 7)
const P2 = functionCall('payment', 'finish_charge', 5)
const T2 = functionCall('order', 'apply_verdict', 4)

export interface FloorOptions {
  /** URL of a service's database as its own role. */
  readonly databaseUrl: (service: Service) => string
  /** `undefined`: the outcome follows from the token. */
  readonly processorUrl?: string | undefined
}

export interface Floor {
  /** Resolves with whether the order is confirmed. */
  place(order: OrderRequest): Promise<boolean>
  close(): Promise<void>
}

interface Result {
  readonly role: string
  readonly entity: { readonly state: number; readonly amount_minor: number }
}

export function createFloor({ databaseUrl, processorUrl }: FloorOptions): Floor {
  const connect = (service: Service): pg.Pool =>
    openPool({ connectionString: databaseUrl(service), max: 10, min: 10 })
  const pools = {
    order: connect('order'),
    inventory: connect('inventory'),
    payment: connect('payment'),
  }
  const processor = processorUrl === undefined ? undefined : createBareUpstream(processorUrl)

  async function call(
    service: Service,
    statement: { readonly name: string; readonly text: string },
    values: readonly unknown[],
  ): Promise<Result> {
    const { rows } = await pools[service].query<Result>({ ...statement, values: [...values] })
    return rows[0] as Result
  }

  async function place({ tenantId, orderId, currency, lines, paymentToken }: OrderRequest) {
    const key = [tenantId, orderId]
    const whole = { currency, lines, payment_token: paymentToken }
    const accepted = await call('order', T1, [
      ...key,
      bytesOf(whole),
      currency,
      JSON.stringify(lines),
      paymentToken,
    ])
    await call('inventory', R1, [...key, bytesOf({ lines }), JSON.stringify(lines)])
    const amount = accepted.entity.amount_minor
    const charged = { amount_minor: amount, currency, payment_token: paymentToken }
    const pspKey = chargeKey('local', tenantId, orderId)
    const charge = [...key, bytesOf(charged), amount, currency, paymentToken, pspKey]
    if (processor === undefined) await call('payment', P_SIMULATED, charge)
    else {
      await call('payment', P1, charge)
      const pspRef = await ask(processor, pspKey, amount, currency, paymentToken)
      await call('payment', P2, [...key, 'captured', pspRef, null])
    }
    const { entity } = await call('order', T2, [...key, 'captured', null])
    return entity.state === 100
  }

  async function close(): Promise<void> {
    await Promise.all(Object.values(pools).map((pool) => pool.end()))
    await processor?.close()
  }

  return { place, close }
}

function bytesOf(body: object): Buffer {
  return Buffer.from(fingerprintOf(body), 'hex')
}

/** The processor's id of the charge. */
async function ask(
  processor: BareUpstream,
  pspKey: string,
  amount: number,
  currency: string,
  source: string,
): Promise<string> {
  const { body } = await processor.post({
    path: '/v1/charges',
    headers: { 'idempotency-key': pspKey },
    body: { amount, currency, source, merchant_reference: merchantReference(pspKey) },
    answers: {},
  })
  return String(body['id'])
}
