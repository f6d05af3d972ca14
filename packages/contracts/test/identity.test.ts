import { describe, expect, test } from 'vitest'
import { fingerprintOf, orderIdOf } from '../src/identity.ts'

describe('order id', () => {
  test('is the key itself, lower-cased, where the key is a UUID', () => {
    expect(orderIdOf('acme', 'A5F0C9E2-7B1D-4C3A-9E8F-0123456789AB')).toBe(
      'a5f0c9e2-7b1d-4c3a-9e8f-0123456789ab',
    )
  })

  test('is a UUIDv8 of tenant and key otherwise, so that two tenants never share one', () => {
    const id = orderIdOf('acme', 'checkout-4711-attempt')
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(orderIdOf('acme', 'checkout-4711-attempt')).toBe(id)
    expect(orderIdOf('globex', 'checkout-4711-attempt')).not.toBe(id)
  })
})

describe('fingerprint', () => {
  const a = { sku: 'A', quantity: 1 }
  const b = { sku: 'B', quantity: 2 }

  test('does not depend on the order of lines or members', () => {
    expect(fingerprintOf({ currency: 'EUR', lines: [b, a] })).toBe(
      fingerprintOf({ lines: [a, { quantity: 2, sku: 'B' }], currency: 'EUR' }),
    )
  })

  test('differs when any value differs', () => {
    const base = fingerprintOf({ currency: 'EUR', lines: [a, b] })
    expect(fingerprintOf({ currency: 'USD', lines: [a, b] })).not.toBe(base)
    expect(fingerprintOf({ currency: 'EUR', lines: [a, { sku: 'B', quantity: 3 }] })).not.toBe(base)
    expect(fingerprintOf({ currency: 'EUR', lines: [a] })).not.toBe(base)
  })

  test('keeps its value from release to release', () => {
    expect(fingerprintOf({ lines: [a] })).toBe(
      '3c4c37212af2ef9ac673a94d96d824e011df1910bcaf50a3aa86c01605fdee12',
    )
  })
})
