/** inventory-service as order-service reads it, from a probe with its identity. */
import { type Line, untilLines } from './ledger.ts'
import { type Mesh, newOrderId } from './mesh.ts'
import { clusterOf, originOf } from './names.ts'
import { TENANT } from './payment.ts'
import type { Call } from './probe.ts'

export const INVENTORY = clusterOf('inventory-service')

export interface StockCall extends Call {
  /** Marks its lines; the route knows no order. */
  readonly orderId: string
}

/** @param fault as k8s/components/app-faults/faults.mjs has them. */
export function stockOf(fault: string): StockCall {
  const orderId = newOrderId()
  return {
    orderId,
    url: `${originOf('inventory-service')}/api/v1/stock`,
    headers: { 'x-tenant-id': TENANT, 'x-order-id': orderId, 'x-oms-fault': fault },
  }
}

/** `expected` of them, or what is there after 5 s. */
export function stockLines(
  mesh: Mesh,
  { orderId }: StockCall,
  expected: number,
): Promise<readonly Line[]> {
  return untilLines(expected, () =>
    mesh.lines('inventory-service', (line) => line.order_id === orderId),
  )
}
