import { InvalidRequest } from '@oms/problem/http-problems'
import { describe, expect, test } from 'vitest'
import { IdempotencyKeyMissing } from '../src/order.ts'
import { requireSameOrder } from '../src/request-ids.ts'

const ORDER = 'a5f0c9e2-7b1d-4c3a-9e8f-0123456789ab'
const OTHER = 'b5f0c9e2-7b1d-4c3a-9e8f-0123456789ab'

const ids = (headers: Record<string, unknown>, key?: string) => () =>
  requireSameOrder(ORDER, headers, key)

describe('the ids of an internal request', () => {
  test.each([
    ['all agree', { 'idempotency-key': ORDER, 'x-order-id': ORDER }],
    [
      'agree but for their case',
      { 'idempotency-key': ORDER.toUpperCase(), 'x-order-id': ORDER.toUpperCase() },
    ],
    ['leave the order to the path', { 'idempotency-key': ORDER }],
  ])('are taken where they %s', (_what, headers) => {
    expect(ids(headers, ORDER)).not.toThrow()
  })

  test('need no key where none is asked for', () => {
    expect(ids({})).not.toThrow()
    expect(ids({ 'idempotency-key': OTHER })).not.toThrow()
  })

  test('are refused without the key that is asked for', () => {
    expect(ids({ 'x-order-id': ORDER }, ORDER)).toThrow(IdempotencyKeyMissing)
  })

  test.each([
    ['the key of another order', { 'idempotency-key': OTHER }],
    ['a key that says more', { 'idempotency-key': `${ORDER}:r1` }],
    ['another order in the header', { 'idempotency-key': ORDER, 'x-order-id': OTHER }],
    ['a header that is no order', { 'idempotency-key': ORDER, 'x-order-id': '' }],
  ])('are refused with %s', (_what, headers) => {
    expect(ids(headers, ORDER)).toThrow(InvalidRequest)
  })

  test('name the order in the refusal', () => {
    try {
      requireSameOrder(ORDER, { 'idempotency-key': OTHER }, ORDER)
      expect.unreachable()
    } catch (error) {
      expect(error).toMatchObject({ members: { order_id: ORDER } })
    }
  })
})
