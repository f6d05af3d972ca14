/** What an operator runs by hand, from the same bundle. */
import { readRecords, runOperation, type Terminal } from '@oms/chassis/operations'
import { Price } from '@oms/contracts/order'
import type { OrderApp } from './app.ts'

/** `prices FILE`: sets the catalogue's prices; orders keep the price they were accepted at. Returns the exit code. */
export function setPrices(
  { server, orders }: OrderApp,
  file: string | undefined,
  terminal: Terminal,
): Promise<number> {
  return runOperation(server, terminal, async () => {
    const prices = readRecords(file, {
      usage: 'prices FILE',
      record: Price,
      keyOf: ({ tenant_id, sku, currency }) => `${tenant_id} ${sku} ${currency}`,
    })
    for (const { tenant_id, sku, currency, unit_price_minor } of prices)
      await orders.setPrice({
        tenantId: tenant_id,
        sku,
        currency,
        unitPriceMinor: unit_price_minor,
      })
    terminal.log(`${prices.length} prices set`)
  })
}
