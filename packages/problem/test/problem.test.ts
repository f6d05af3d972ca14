import { describe, expect, test } from 'vitest'
import { Busy, NotFound } from '../src/http-problems.ts'
import { decodeProblem, defineProblem, problemBody } from '../src/problem.ts'

const Declined = defineProblem({
  slug: 'declined',
  title: 'Declined',
  status: 402,
  outcome: 'final',
})

describe('a problem', () => {
  test('goes over the wire and comes back as the class it was thrown as', () => {
    const thrown = new Declined('Try another card.', { decline_code: 'card_declined' })
    const wire = JSON.parse(JSON.stringify(problemBody(thrown, '/api/v1/things/1')))
    const back = decodeProblem(402, wire, [NotFound, Declined])
    expect(back).toBeInstanceOf(Declined)
    expect(back?.message).toBe('Try another card.')
    expect(back?.members).toEqual({ decline_code: 'card_declined' })
    expect(back?.instance).toBe('/api/v1/things/1')
  })

  test('has the members of RFC 9457 and says whether to try again', () => {
    expect(problemBody(new Busy('Wait.'), '/x')).toEqual({
      type: 'https://oms.example/problems/busy',
      title: 'The resource is busy',
      status: 409,
      detail: 'Wait.',
      instance: '/x',
      retryable: true,
      outcome: 'unknown',
    })
  })

  test.each([
    ['another status', 409, { type: 'https://oms.example/problems/declined', detail: 'x' }],
    ['another type', 402, { type: 'about:blank', detail: 'x' }],
    ['no detail', 402, { type: 'https://oms.example/problems/declined' }],
    ['HTML', 402, '<html>'],
    ['nothing', 402, null],
  ])('is not recognised in a body with %s', (_what, status, body) => {
    expect(decodeProblem(status, body, [Declined])).toBeUndefined()
  })
})
