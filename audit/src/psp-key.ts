/** The processor's keys as protocol §2 states them; restated here, because the audit believes no service. */
import type { Key } from './evidence.ts'

export interface MerchantOrder {
  readonly deployment: string
  readonly key: Key
}

const REFERENCE = /^oms:([^:]+):([^:]+):([0-9a-f-]{36})$/
const SUFFIX = /:(c|r)\d+$/

/** `oms:{DEPLOYMENT}:{tenant_id}:{order_id}`; undefined is none of ours. */
export function orderOf(reference: string): MerchantOrder | undefined {
  const [, deployment, tenant, order] = REFERENCE.exec(reference) ?? []
  if (deployment === undefined || tenant === undefined || order === undefined) return undefined
  return { deployment, key: `${tenant}/${order}` }
}

/** The merchant reference inside a charge's or refund's key. */
export function referenceOf(pspKey: string): string {
  return pspKey.replace(SUFFIX, '')
}
