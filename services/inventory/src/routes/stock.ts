/** HTTP of stock: what every SKU of the tenant has left, page by page. */
import type { Server } from '@oms/chassis/server'
import { StockPage } from '@oms/contracts/inventory'
import { Sku } from '@oms/contracts/order'
import { InvalidRequest } from '@oms/problem/http-problems'
import { Type } from 'typebox'
import { Check } from 'typebox/value'
import type { Stock } from '../domain/ports.ts'

/** As many as an order has lines. */
const MAX_SKUS = 50

const list = {
  querystring: Type.Object(
    {
      sku: Type.Optional(Type.Array(Sku, { maxItems: MAX_SKUS })),
      limit: Type.Integer({ default: 20, minimum: 1, maximum: 100 }),
      cursor: Type.Optional(
        Type.String({ maxLength: 128, description: '`next_cursor` of the page before; opaque.' }),
      ),
    },
    { additionalProperties: false },
  ),
  response: { 200: StockPage },
}

export function stockRoutes(server: Server, { stock }: { readonly stock: Stock }): void {
  server.get('/api/v1/stock', { schema: list }, async (request) => {
    const { sku: skus, limit, cursor } = request.query
    const after = cursor === undefined ? '' : decodeCursor(cursor)
    // One more than asked for tells whether there is another page.
    const levels = await stock.levels({ tenantId: request.tenantId, skus, after, limit: limit + 1 })
    const items = levels
      .slice(0, limit)
      .map(({ sku, available, reserved, sold }) => ({ sku, available, reserved, sold }))
    const last = levels.length > limit ? items.at(-1) : undefined
    return { items, next_cursor: last === undefined ? null : encodeCursor(last.sku) }
  })
}

function encodeCursor(sku: string): string {
  return Buffer.from(sku).toString('base64url')
}

/** @throws InvalidRequest */
function decodeCursor(cursor: string): string {
  const sku = Buffer.from(cursor, 'base64url').toString()
  if (Check(Sku, sku) && encodeCursor(sku) === cursor) return sku
  throw new InvalidRequest('The cursor is not one of ours; start again without it.', {
    errors: [{ pointer: '/querystring/cursor', detail: 'is not a cursor' }],
  })
}
