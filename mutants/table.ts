/** The mistakes of protocol.md §8 and the test that each of them must turn red. */

export interface Killer {
  readonly file: string
  /** As vitest prints it: `group > test`. */
  readonly test: string
}

/** Rows of protocol.md §8 that its list of mutants names. */
export type Row =
  | 'V1'
  | 'Schema'
  | 'Race'
  | 'V2'
  | 'V3'
  | 'Recovery'
  | 'V5'
  | 'Limiter'
  | 'V7'
  | 'V8'
  | 'V11'
  | 'V12'
  | 'S1–S3'

/** Marked ● there: killed on every submission. */
export const FAST_ROWS: ReadonlySet<Row> = new Set([
  'V1',
  'Schema',
  'Race',
  'V3',
  'Recovery',
  'Limiter',
  'V11',
  'S1–S3',
])

export interface Mutant {
  /** Also of its patch: `patches/NAME.patch`. */
  readonly name: string
  readonly row: Row
  readonly killer: Killer
  /** What the test fails with where that is no assertion. */
  readonly fails?: RegExp
}

const V1 = 'services/order/test/protocol/model.test.ts'
const ORDERS = 'services/order/test/place-order.test.ts'
const TRANSITIONS = 'services/order/test/transitions.test.ts'
const ORDER_RECOVERY = 'services/order/test/recovery.test.ts'
const ORDER_DATABASE = 'services/order/test/database.test.ts'
const PAYMENTS = 'services/payment/test/payments.test.ts'
const PAYMENT_RECOVERY = 'services/payment/test/recovery.test.ts'
const RACES = 'services/inventory/test/races.test.ts'
const LIMITER = 'packages/chassis/test/limiter-http.test.ts'

const SEARCH: Killer = {
  file: V1,
  test: 'the protocol > keeps every promise in every state that one order and two drivers can reach',
}
/** What the database makes of two that wait for each other: its limit for a lock comes before its search for deadlocks. */
const LOCKED_OUT = /^busy: Another request holds this row/

const PROPERTIES: Killer = {
  file: 'e2e/properties/properties.test.ts',
  test: 'the system does what a page of plain data says > in 150 random runs of at most 40 steps',
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'new-psp-key-on-retry',
    row: 'V1',
    killer: {
      file: PAYMENT_RECOVERY,
      test: 'a charge without a verdict > is sent under one key, whoever resumes it: a duplicate, the loop',
    },
  },
  { name: 'release-on-payment-timeout', row: 'V1', killer: SEARCH },
  {
    name: 'void-without-tombstone',
    row: 'V1',
    killer: { file: PAYMENTS, test: 'POST /api/v1/payments > does not charge after a void' },
  },
  {
    name: 'release-without-tombstone',
    row: 'V1',
    killer: {
      file: 'services/inventory/test/reservations.test.ts',
      test: 'POST /api/v1/reservations > does not reserve after a release, whatever it asks for',
    },
  },
  {
    name: 'autonomous-expiry',
    row: 'V1',
    killer: {
      file: 'services/inventory/test/expiry.test.ts',
      test: 'an expired reservation > is kept where the order goes on, and asked about again after 60 s',
    },
  },
  {
    name: 'not-found-means-voided',
    row: 'V1',
    killer: {
      file: 'services/order/test/participants.test.ts',
      test: 'a charge under way > that cannot be read (404, 500, HTML) is read again, never taken for "not charged"',
    },
  },
  { name: 'status-means-not-charged', row: 'V1', killer: SEARCH },
  {
    name: 'decline-on-psp-500',
    row: 'V1',
    killer: {
      file: PAYMENTS,
      test: 'POST /api/v1/payments > treats a 500 of the processor as unknown, never as a decline, and resumes under the same key',
    },
  },
  {
    name: 'void-a-processing-payment',
    row: 'V1',
    killer: {
      file: PAYMENT_RECOVERY,
      test: 'a charge without a verdict > is 202, and its void too: the same processor key leads it to its end',
    },
  },
  {
    name: 'refund-new-key',
    row: 'V1',
    killer: {
      file: PAYMENT_RECOVERY,
      test: 'a refund > without a verdict is 202, waited for by duplicates, resumed under the same key',
    },
  },
  { name: 'release-before-refund', row: 'V1', killer: SEARCH },

  {
    name: 'cancel-flag-ignored-by-t2',
    row: 'Schema',
    killer: {
      file: TRANSITIONS,
      test: 'the functions > write on "captured" what the table says, for every row that can stand, and nothing else',
    },
    fails: /^error: new row for relation "orders" violates check constraint "cancel_by_state"/,
  },
  {
    name: 'monotone-only-guard',
    row: 'Schema',
    killer: {
      file: TRANSITIONS,
      test: 'the table of transitions > is what the guard allows: of all pairs of states, unlisted ones included, no other',
    },
  },
  {
    name: 'drop-check',
    row: 'Schema',
    killer: {
      file: TRANSITIONS,
      test: 'a row that contradicts itself > is refused: 40 with captured money',
    },
  },
  {
    name: 'check-over-nullable',
    row: 'Schema',
    killer: {
      file: TRANSITIONS,
      test: 'a row that contradicts itself > is refused: no verdict, for a CHECK would pass on it',
    },
  },

  {
    name: 'cte-upsert-trap',
    row: 'Race',
    killer: {
      file: ORDER_DATABASE,
      test: 'acceptance > is never empty and accepts each key once: 480 calls on 8 keys over 24 connections',
    },
    fails: /^Error: order\.accept_order returned no row/,
  },
  {
    name: 'unsorted-stock-locks-in-reserve',
    row: 'Race',
    killer: {
      file: RACES,
      test: 'many callers at once > that name two hot SKUs in either order neither deadlock nor oversell',
    },
    fails: LOCKED_OUT,
  },
  {
    name: 'unsorted-stock-locks-in-settle',
    row: 'Race',
    killer: {
      file: RACES,
      test: 'many callers at once > that reserve, settle and release many SKUs in any order do not deadlock',
    },
    fails: LOCKED_OUT,
  },
  {
    name: 'unsorted-stock-locks-in-release',
    row: 'Race',
    killer: {
      file: RACES,
      test: 'many callers at once > that reserve, settle and release many SKUs in any order do not deadlock',
    },
    fails: LOCKED_OUT,
  },

  { name: 'charge-before-accept', row: 'V2', killer: deathAt('order.t1.before') },
  { name: 'outcome-before-charge', row: 'V2', killer: deathAt('payment.psp.sent') },
  { name: 'cancel-flag-not-durable', row: 'V2', killer: deathAt('order.cancel.after_flag') },
  { name: 'settle-without-outbox', row: 'V2', killer: deathAt('order.t2.after_commit') },

  { name: 'skip-fingerprint', row: 'V3', killer: PROPERTIES },
  { name: 'duplicate-sku-lines', row: 'V3', killer: PROPERTIES },
  { name: 'partial-reservation', row: 'V3', killer: PROPERTIES },

  {
    name: 'lease-by-process-clock',
    row: 'Recovery',
    killer: {
      file: ORDER_RECOVERY,
      test: 'the process’s clock > wrong by 1 h moves no lease, no decision and no backoff',
    },
  },
  {
    name: 'backoff-cap-60s',
    row: 'Recovery',
    killer: {
      file: ORDER_RECOVERY,
      test: 'the backoff > doubles from 0.5 s, spread by half, and never exceeds 15 s',
    },
  },

  {
    name: 'replay-from-memory',
    row: 'V5',
    killer: {
      file: ORDERS,
      test: 'a repeated key > after the lease ran out resumes the order itself: an old failure is never replayed',
    },
  },

  {
    name: 'permit-leak-on-dead-socket',
    row: 'Limiter',
    killer: { file: LIMITER, test: 'a permit > is given to no caller that hung up in the queue' },
    fails: /in vain: no permit taken/,
  },
  {
    name: 'permit-freed-before-work-ends',
    row: 'Limiter',
    killer: { file: LIMITER, test: 'a permit > stays taken while work goes on behind the answer' },
  },

  {
    name: 'shed-with-503',
    row: 'V7',
    killer: {
      file: LIMITER,
      test: 'a request above limit and queue > is 429, not executed, retried by no proxy, and counted',
    },
  },

  {
    name: 'close-without-drain',
    row: 'V8',
    killer: {
      file: 'e2e/system/rollout.test.ts',
      test: '1,000 orders through the restart of both replicas: none is refused, cut off or lost',
    },
  },
  {
    name: 'sweeper-touches-unknown-state',
    row: 'V8',
    killer: {
      file: ORDER_RECOVERY,
      test: 'a state that a newer version wrote > is touched by no sweep, deferral, cancel, POST or stop, and holds up nobody',
    },
  },
  {
    name: 'defaults-in-fingerprint',
    row: 'V8',
    killer: {
      file: 'packages/contracts/test/identity.test.ts',
      test: 'fingerprint > keeps its value from release to release',
    },
  },

  {
    name: 'transaction-across-psp',
    row: 'V11',
    killer: {
      file: 'e2e/system/contract.test.ts',
      test: 'an order costs > with the http processor 5 round trips, commits and WAL syncs, and at most 3700 bytes of WAL',
    },
  },

  {
    name: 'swallow-commit-error',
    row: 'V12',
    killer: {
      file: 'e2e/system/durability.test.ts',
      test: 'kill -9 of PostgreSQL under 16 writers, three times: of 1,000 acknowledged orders none is missing, and the audit is green',
    },
  },

  {
    name: 'rls-not-forced',
    row: 'S1–S3',
    killer: {
      file: ORDER_DATABASE,
      test: 'row-level security alone > is forced upon the owner of orders, too',
    },
  },
  {
    name: 'session-set-tenant',
    row: 'S1–S3',
    killer: {
      file: ORDER_DATABASE,
      test: 'row-level security alone > gets its tenant for one statement only: a connection that goes back names none',
    },
  },
  {
    name: 'tenant-from-body',
    row: 'S1–S3',
    killer: {
      file: 'services/order/test/requests.test.ts',
      test: 'the body of POST /api/v1/orders > is refused with a tenant, and the fault is named',
    },
  },
]

/** V2: whoever comes by the point dies, and so does whoever recovers from that. */
function deathAt(point: string): Killer {
  return {
    file: 'e2e/crash/crash.test.ts',
    test: `an order ends as it should, charged once, though the process that works on it dies > at ${point}, and so does the one that recovers it`,
  }
}
