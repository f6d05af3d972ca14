/** G6, G7: what routes take, and how long they wait. */
import { type BrokenCopy, set, unset } from './edits.ts'
import { CANARY, INVENTORY_RETRY, PAYMENT_BREAKER, PAYMENT_RETRY, THROUGH_EGRESS } from './names.ts'

export const routePinCopies: readonly BrokenCopy[] = [
  {
    mistake: 'an empty key that counts as one',
    gate: 'G6',
    breaks: [set(PAYMENT_RETRY, '/spec/http/0/match/1/headers/idempotency-key/regex', '.*')],
    says: /the route idempotent: match\[1\]\.headers\.idempotency-key\.regex is "\.\*"/,
  },
  {
    mistake: 'a request without a key that waits for nothing',
    gate: 'G6',
    breaks: [set(PAYMENT_RETRY, '/spec/http/1/timeout', '6s')],
    says: /the route other: timeout is "6s", not "3s"/,
  },
  {
    mistake: 'a reservation that takes the time of the charge',
    gate: 'G6',
    breaks: [set(INVENTORY_RETRY, '/spec/http/0/timeout', '4s')],
    says: /the route without a name: timeout is "4s", not "2s"/,
  },
  {
    mistake: 'a stock that is read elsewhere',
    gate: 'G6',
    breaks: [set(CANARY, '/spec/http/0/match/0/uri/exact', '/api/v1/stocks')],
    says: /the route stock: match\[0\]\.uri\.exact is "\/api\/v1\/stocks"/,
  },
  {
    mistake: 'a client that hangs on a pod that is gone',
    gate: 'G6',
    breaks: [set(CANARY, '/spec/http/1/timeout', '24s')],
    says: /the route weighted: timeout is "24s", not "12s"/,
  },
  {
    mistake: 'a way to the gateway without a name',
    gate: 'G6',
    breaks: [unset(THROUGH_EGRESS, '/spec/http/0/name')],
    says: /the route to-egress is not there/,
  },
  {
    mistake: 'a way out without a name',
    gate: 'G6',
    breaks: [unset(THROUGH_EGRESS, '/spec/http/1/name')],
    says: /the route to-psp is not there/,
  },
  {
    mistake: 'routes for nobody',
    gate: 'G7',
    breaks: [set(PAYMENT_RETRY, '/spec/hosts', [])],
    says: /payment-service-retry: it has no host/,
  },
  {
    mistake: 'limits for nobody',
    gate: 'G7',
    breaks: [unset(PAYMENT_BREAKER, '/spec/host')],
    says: /payment-service-circuit-breaker: it has no host/,
  },
]
