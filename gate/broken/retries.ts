/** G6: retries, and the edges of the mesh. */
import { type BrokenCopy, set, unset } from './edits.ts'
import { CANARY, INVENTORY_RETRY, PAYMENT_RETRY, THROUGH_EGRESS } from './names.ts'

export const retryCopies: readonly BrokenCopy[] = [
  {
    mistake: 'retries of every 5xx',
    gate: 'G6',
    breaks: [set(PAYMENT_RETRY, '/spec/http/0/retries/retryOn', '5xx,reset')],
    says: /retryOn is "5xx,reset"/,
  },
  {
    mistake: 'retries that miss a crash',
    gate: 'G6',
    breaks: [
      set(INVENTORY_RETRY, '/spec/http/0/retries/retryOn', 'connect-failure,refused-stream,reset'),
    ],
    says: /retryOn is "connect-failure,refused-stream,reset"/,
  },
  {
    mistake: 'spaces in retryOn',
    gate: 'G6',
    breaks: [set(PAYMENT_RETRY, '/spec/http/1/retries/retryOn', 'connect-failure, refused-stream')],
    says: /retryOn is "connect-failure, refused-stream"/,
  },
  {
    mistake: 'no word of retries: Istio’s two',
    gate: 'G6',
    breaks: [unset(PAYMENT_RETRY, '/spec/http/1/retries')],
    says: /payment-service-retry: spec\.http\[1\]\.retries\.attempts is missing/,
  },
  {
    mistake: 'a route without a timeout',
    gate: 'G6',
    breaks: [unset(PAYMENT_RETRY, '/spec/http/1/timeout')],
    says: /spec\.http\[1\]\.timeout is missing/,
  },
  {
    mistake: 'a charge without a key is sent twice',
    gate: 'G6',
    breaks: [unset(PAYMENT_RETRY, '/spec/http/0/match/1/headers')],
    says: /spec\.http\[0\]\.match also has requests without idempotency-key/,
  },
  {
    mistake: 'retries of everything',
    gate: 'G6',
    breaks: [unset(PAYMENT_RETRY, '/spec/http/0/match')],
    says: /spec\.http\[0\]\.match also has requests without idempotency-key/,
  },
  {
    mistake: 'a try without a limit',
    gate: 'G6',
    breaks: [unset(PAYMENT_RETRY, '/spec/http/0/retries/perTryTimeout')],
    says: /spec\.http\[0\]\.retries\.perTryTimeout is missing/,
  },
  {
    mistake: 'a client’s order id reaches the traces',
    gate: 'G6',
    breaks: [unset(CANARY, '/spec/http/1/headers')],
    says: /spec\.http\[1\]\.headers\.request\.remove is missing/,
  },
  {
    mistake: 'the verified tenant is removed with the forged one',
    gate: 'G6',
    breaks: [set(CANARY, '/spec/http/1/headers/request/remove/-', 'x-tenant-id')],
    says: /headers\.request\.remove is .*x-tenant-id/,
  },
  {
    mistake: 'the ingress leads to /internal, too',
    gate: 'G6',
    breaks: [unset(CANARY, '/spec/http/1/match')],
    says: /spec\.http\[1\]\.match is missing/,
  },
  {
    mistake: 'a prefix that also matches the neighbour',
    gate: 'G6',
    breaks: [set(CANARY, '/spec/http/1/match/1/uri/prefix', '/api/v1/orders')],
    says: /match has \{"prefix":"\/api\/v1\/orders"\}/,
  },
  {
    mistake: 'the card processor hears who called inside',
    gate: 'G6',
    breaks: [unset(THROUGH_EGRESS, '/spec/http/1/headers')],
    says: /psp-through-egress: spec\.http\[1\]\.headers\.request\.remove is missing/,
  },
]
