/** payment-service as order-service calls it, from a probe with its identity. */
import { type Line, untilLines } from './ledger.ts'
import type { Mesh } from './mesh.ts'
import { newOrderId } from './mesh.ts'
import { clusterOf, OM, originOf, statOf } from './names.ts'
import type { Call, Probe } from './probe.ts'

export const PAYMENT = clusterOf('payment-service')
/** Of nobody's orders: what a probe charges has no order, and the audit after the proofs sets it apart. */
export const TENANT = 'proofs'
/** Of each charge, in minor units. */
export const AMOUNT = 4990

export interface PaymentCall extends Call {
  readonly orderId: string
}

export interface PaymentCallOptions {
  /** As k8s/components/app-faults/faults.mjs has them. */
  readonly fault?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Default: the order's id; null: none. */
  readonly key?: string | null
}

/** A charge that the processor approves. */
export function chargeOf({ fault, headers = {}, key }: PaymentCallOptions = {}): PaymentCall {
  const orderId = newOrderId()
  return {
    orderId,
    url: `${originOf('payment-service')}/api/v1/payments`,
    method: 'POST',
    headers: {
      'x-tenant-id': TENANT,
      'x-order-id': orderId,
      ...(key === null ? {} : { 'idempotency-key': key ?? orderId }),
      ...(fault === undefined ? {} : { 'x-oms-fault': fault }),
      ...headers,
    },
    body: {
      order_id: orderId,
      amount_minor: AMOUNT,
      currency: 'EUR',
      payment_token: 'pm_approve0001',
    },
  }
}

/** A read that the fault answers, or payment-service with 404. */
export function readOf({ fault, headers = {} }: PaymentCallOptions = {}): PaymentCall {
  const orderId = newOrderId()
  return {
    orderId,
    url: `${originOf('payment-service')}/api/v1/payments/${orderId}`,
    headers: {
      'x-tenant-id': TENANT,
      'x-order-id': orderId,
      ...(fault === undefined ? {} : { 'x-oms-fault': fault }),
      ...headers,
    },
  }
}

export interface PaymentCaller extends Probe {
  /** What `work` adds to its proxy's counters for payment-service: `added('upstream_rq_retry')`. */
  during<T>(work: () => Promise<T>): Promise<{ readonly value: T; added(stat: string): number }>
}

/** With order-service's identity and configuration. @param fresh its proxy has seen nothing. */
export async function paymentCaller(
  mesh: Mesh,
  { fresh = false }: { readonly fresh?: boolean } = {},
): Promise<PaymentCaller> {
  const options = { namespace: OM, account: 'order-service' }
  const probe = await (fresh ? mesh.freshProbe(options) : mesh.probe(options))
  const envoy = await probe.envoy()
  return {
    ...probe,
    async during(work) {
      const { value, added } = await envoy.during(work)
      return { value, added: (stat) => added.of(statOf(PAYMENT, stat)) }
    },
  }
}

/** The order's requests to payment-service, in order of their end: `expected` of them, or what is there after 5 s. */
export function linesOf(
  mesh: Mesh,
  { orderId }: PaymentCall,
  expected: number,
): Promise<readonly Line[]> {
  return untilLines(expected, () =>
    mesh.lines('payment-service', (line) => line.order_id === orderId),
  )
}

/** Their attempt numbers, sorted. */
export async function triesOf(
  mesh: Mesh,
  call: PaymentCall,
  expected: number,
): Promise<readonly (number | null)[]> {
  const lines = await linesOf(mesh, call, expected)
  return lines.map(({ attempt }) => attempt).sort((a, b) => (a ?? 0) - (b ?? 0))
}
