/** The client: what an answer means for who asked. */
import { describe, expect, test } from 'vitest'
import { verdictOn } from '../k6/verdict.ts'

const answer = (status: number, body: object | string = '', headers = {}) => ({
  status,
  body: typeof body === 'string' ? body : JSON.stringify(body),
  headers,
})

describe('a verdict is what says so', () => {
  test.each([
    ['201', answer(201, { state: 'confirmed' }), 'confirmed'],
    ['a stored refusal', answer(402, { outcome: 'final' }), 'refused'],
    [
      'a cancelled order',
      answer(409, { outcome: 'final', type: 'https://oms.example/problems/order-cancelled' }),
      'cancelled',
    ],
  ])('%s', (_, given, end) => {
    expect(verdictOn(given)).toEqual({ end })
  })
})

describe('everything else is asked again', () => {
  test.each([
    ['no answer, of which k6 has no body', { status: 0, body: null, headers: {} }],
    ['on its way', answer(202, { state: 'pending' })],
    ['Envoy’s own 503, which is no JSON', answer(503, 'upstream connect error')],
    ['a timeout of the gateway', answer(504, 'upstream request timeout')],
    ['what may be sent again', answer(409, { outcome: 'not_executed', retryable: true })],
    // 409 of a final refusal and of a conflict differ in the outcome alone.
    ['too much to do', answer(429, { outcome: 'not_executed', retryable: true })],
  ])('%s', (_, given) => {
    expect(verdictOn(given).end).toBeUndefined()
  })

  test('after the pause that it asks for', () => {
    expect(verdictOn(answer(429, '', { 'Retry-After': '7' }))).toEqual({ pause: 7 })
  })
})

test('what is refused as malformed is the client’s own fault, and told', () => {
  const given = answer(400, { outcome: 'not_executed', retryable: false, detail: 'no such SKU' })
  expect(verdictOn(given)).toEqual({ end: 'wrong', problem: '400 no such SKU' })
})
