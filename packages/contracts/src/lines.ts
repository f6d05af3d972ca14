/** A rule of lines that a schema cannot say. */
import { InvalidRequest } from '@oms/problem/http-problems'

/** @throws InvalidRequest a SKU stands twice: which quantity would count is not the service's to guess. */
export function requireUniqueSkus(
  orderId: string,
  lines: readonly { readonly sku: string }[],
): void {
  const seen = new Set<string>()
  for (const [index, { sku }] of lines.entries()) {
    if (seen.has(sku))
      throw new InvalidRequest(`${sku} stands in two lines; add their quantities up in one.`, {
        order_id: orderId,
        errors: [{ pointer: `/body/lines/${index}/sku`, detail: 'stands twice' }],
      })
    seen.add(sku)
  }
}
