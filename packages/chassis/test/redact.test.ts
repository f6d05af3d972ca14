import { expect, test } from 'vitest'
import { containsPan, maskPans } from '../src/redact.ts'

test.each([
  '4242424242424242',
  '4242 4242 4242 4242',
  '4242-4242-4242-4242',
  'pm_4242424242424242',
  '378282246310005',
  'x5555555555554444y',
  '2 4242424242424242', // another number before it
  '3-4242424242424242-7',
])('sees the card number in %s', (text) => {
  expect(containsPan(text)).toBe(true)
  expect(maskPans(text)).toContain('[PAN]')
  expect(maskPans(text)).not.toMatch(/\d{4}/)
})

test.each([
  '4242424242424241', // wrong check digit
  '1242424242424249', // no issuer begins with 1
  '42424242424242424242', // 20 digits
  '00000000-4242-4242-4242-424242424242', // a UUID
  'pm_approve00000001',
])('leaves %s alone', (text) => {
  expect(containsPan(text)).toBe(false)
  expect(maskPans(text)).toBe(text)
})
