/** The route that both servers of the comparison serve: one parameter, an answer the size of an order. */
import { Type } from 'typebox'

export const PATH = '/api/v1/things/:id'

export const SCHEMA = {
  params: Type.Object({ id: Type.String({ pattern: '^[0-9a-f-]{36}$' }) }),
  response: {
    200: Type.Object({
      id: Type.String(),
      state: Type.String(),
      reason: Type.Union([Type.String(), Type.Null()]),
      currency: Type.String(),
      amount_minor: Type.Integer(),
      lines: Type.Array(
        Type.Object({
          sku: Type.String(),
          quantity: Type.Integer(),
          unit_price_minor: Type.Integer(),
        }),
      ),
      created_at: Type.String(),
    }),
  },
}

export function thing(id: string) {
  return {
    id,
    state: 'confirmed',
    reason: null,
    currency: 'EUR',
    amount_minor: 3450,
    lines: [{ sku: 'MOKA-POT', quantity: 1, unit_price_minor: 3450 }],
    created_at: '2025-01-01T00:00:00.000Z',
  }
}
