/** A print of which there are few. */
import type { Target } from './target.ts'

/** Fewer than any profile's orders. */
export const LIMITED_STOCK = 60

export async function supplyLimitedPrint(target: Target): Promise<void> {
  const { available, reserved, sold } = await target.stockOf('acme', 'LIMITED-PRINT')
  if (available > LIMITED_STOCK)
    throw new Error(
      `There are ${available} prints already, more than the ${LIMITED_STOCK} of a run.`,
    )
  await target.supply('acme', 'LIMITED-PRINT', LIMITED_STOCK + reserved + sold)
}
