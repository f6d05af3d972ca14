/** What an operator runs by hand, from the same bundle. */
import { readRecords, runOperation, type Terminal } from '@oms/chassis/operations'
import { Supply } from '@oms/contracts/inventory'
import type { InventoryApp } from './app.ts'

/** `stock FILE`: raises what was supplied to at least what the file says; twice changes nothing. Returns the exit code. */
export function supplyStock(
  { server, stock }: InventoryApp,
  file: string | undefined,
  terminal: Terminal,
): Promise<number> {
  return runOperation(server, terminal, async () => {
    const supplies = readRecords(file, {
      usage: 'stock FILE',
      record: Supply,
      keyOf: ({ tenant_id, sku }) => `${tenant_id} ${sku}`,
    })
    let raised = 0
    for (const { tenant_id, sku, supplied } of supplies) {
      const { role } = await stock.supply({ tenantId: tenant_id, sku, supplied })
      if (role === 'raised') raised++
    }
    terminal.log(`${supplies.length} entries: ${raised} raised, the others were there already.`)
  })
}
