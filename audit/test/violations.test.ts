/** For every condition of every invariant: a violation planted in a healthy world turns exactly its rows red. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createWorld, ORDERS, pspKey, type World } from './world.ts'

let world: World
beforeAll(async () => {
  world = await createWorld()
})
afterEach(() => world.restore())
afterAll(() => world.drop())

interface Plant {
  readonly name: string
  plant(world: World): Promise<void> | void
  /** Row → offenders. Two rows only where the protocol's own conditions overlap. */
  readonly violates: Readonly<Record<string, readonly string[]>>
  /** Part of what holds only when nothing is under way. */
  readonly quiescent?: boolean
}

const of = (order: keyof typeof ORDERS, tenant = 'acme'): string => `${tenant}/${ORDERS[order]}`
const at = (order: keyof typeof ORDERS, tenant = 'acme'): readonly string[] => [
  tenant,
  ORDERS[order],
]
const ROW = 'WHERE tenant_id = $1 AND order_id = $2'

/** Forced statements against one database, run one after the other. */
const order =
  (...statements: [string, (readonly unknown[])?][]) =>
  async (w: World) => {
    for (const [text, values] of statements) await w.force(w.order, text, values)
  }
const payment =
  (...statements: [string, (readonly unknown[])?][]) =>
  async (w: World) => {
    for (const [text, values] of statements) await w.force(w.payment, text, values)
  }
const inventory =
  (...statements: [string, (readonly unknown[])?][]) =>
  async (w: World) => {
    for (const [text, values] of statements) await w.force(w.inventory, text, values)
  }

const entry = (w: World, tenant: string, name: keyof typeof ORDERS) => {
  const found = w.recorded.charges.find(
    ({ merchant_reference: reference }) => reference === `oms:local:${tenant}:${ORDERS[name]}`,
  )
  if (found === undefined) throw new Error(`no charge of ${name}`)
  return found
}

/** The reservation of the confirmed order in another state, its stock moved along. */
const confirmedReservation = (state: number, into: 'reserved' | 'available') =>
  inventory(
    [`UPDATE oms.reservation SET state = ${state} ${ROW}`, at('confirmed')],
    [`UPDATE oms.stock SET sold = sold - 5, ${into} = ${into} + 5 WHERE tenant_id = 'acme'`],
  )

const history = (
  name: keyof typeof ORDERS,
  ...steps: [state: number, verdict: string, cancel: boolean][]
) =>
  order(
    ...steps.map(([state, verdict, cancel]): [string, readonly unknown[]] => [
      `INSERT INTO oms_audit.order_history (tenant_id, order_id, state, verdict, cancel_requested)
       VALUES ($1, $2, $3, $4, $5)`,
      [...at(name), state, verdict, cancel],
    ]),
  )

const forget = (name: keyof typeof ORDERS): [string, readonly unknown[]] => [
  `DELETE FROM oms_audit.order_history ${ROW}`,
  at(name),
]

const rewritten =
  (name: keyof typeof ORDERS, ...steps: [state: number, verdict: string, cancel: boolean][]) =>
  async (w: World) => {
    await order(forget(name))(w)
    await history(name, ...steps)(w)
  }

const PLANTS: Readonly<Record<string, readonly Plant[]>> = {
  'I1 charged at most once': [
    {
      name: 'two charges of an order in the ledger table',
      plant: payment([
        `INSERT INTO oms.ledger (tenant_id, order_id, entry, debit, credit, currency, amount_minor)
         VALUES ($1, $2, 7, 'psp', 'sales', 'EUR', 3), ($1, $2, 8, 'sales', 'psp', 'EUR', 3)`,
        at('confirmed'),
      ]),
      violates: { I1: [of('confirmed')] },
    },
    {
      name: 'two refunds of one key in the payment tables',
      plant: payment(
        [`UPDATE oms.refund SET amount_minor = 250 ${ROW}`, at('refunded')],
        [
          `INSERT INTO oms.refund (tenant_id, order_id, refund_no, state, amount_minor, psp_key, decided_at)
           SELECT tenant_id, order_id, 2, 2, 250, psp_key, now() FROM oms.refund ${ROW}`,
          at('refunded'),
        ],
      ),
      violates: { I1: [of('refunded')] },
    },
    {
      name: 'two captures of one merchant reference at the processor',
      plant: ({ recorded: { charges, refunds } }) => {
        const reference = `oms:local:acme:${ORDERS.confirmed}`
        const second = { merchant_reference: reference, amount: 500, currency: 'EUR' }
        const status = 'succeeded'
        charges.push({ ...second, id: 'ch_x', idempotency_key: `${reference}:c2`, status })
        refunds.push({ ...second, id: 're_x', idempotency_key: `${reference}:r9`, status })
      },
      violates: { I1: [of('confirmed')] },
      quiescent: true,
    },
    {
      name: 'two refunds of one key at the processor',
      plant: ({ recorded: { refunds } }) => {
        const [first] = refunds
        if (first === undefined) return
        first.amount = 250
        refunds.push({ ...first, id: 're_x' })
      },
      violates: { I1: [of('refunded')] },
    },
    {
      name: 'a confirmed order that was charged less than its amount',
      plant: async (w) => {
        await payment(
          [`UPDATE oms.payment SET amount_minor = 400 ${ROW}`, at('confirmed')],
          [`UPDATE oms.ledger SET amount_minor = 400 ${ROW}`, at('confirmed')],
        )(w)
        entry(w, 'acme', 'confirmed').amount = 400
      },
      violates: { I1: [of('confirmed')] },
      quiescent: true,
    },
    {
      name: 'a cancelled order whose money the processor keeps',
      plant: ({ recorded }) => {
        recorded.refunds = []
      },
      violates: { I1: [of('refunded')], I10: [of('refunded')] },
      quiescent: true,
    },
    {
      name: 'money of an order that does not exist',
      plant: ({ recorded: { charges } }) => {
        const reference = `oms:local:acme:${ORDERS.stranger}`
        charges.push({
          id: 'ch_x',
          idempotency_key: `${reference}:c1`,
          merchant_reference: reference,
          amount: 1,
          currency: 'EUR',
          status: 'succeeded',
        })
      },
      violates: { I1: [of('stranger')], I10: [of('stranger')] },
      quiescent: true,
    },
  ],

  'I2 never oversold': [
    {
      name: 'a sum that is not what was supplied',
      plant: inventory([`UPDATE oms.stock SET supplied = supplied + 1 WHERE tenant_id = 'acme'`]),
      violates: { I2: ['acme/TEA'] },
    },
    {
      name: 'a negative number',
      plant: inventory([
        `UPDATE oms.stock SET available = -1, supplied = reserved + sold - 1 WHERE tenant_id = 'acme'`,
      ]),
      violates: { I2: ['acme/TEA'] },
    },
    {
      name: 'more reserved than the held lines say',
      plant: inventory([
        `UPDATE oms.stock SET reserved = reserved + 1, available = available - 1 WHERE tenant_id = 'acme'`,
      ]),
      violates: { I2: ['acme/TEA'] },
    },
    {
      name: 'less sold than the committed lines say',
      plant: inventory([
        `UPDATE oms.stock SET sold = sold - 1, available = available + 1 WHERE tenant_id = 'globex'`,
      ]),
      violates: { I2: ['globex/TEA'] },
    },
    {
      name: 'a committed line of a SKU that is not in stock',
      plant: inventory([
        `UPDATE oms.reservation SET lines = lines || '[{"sku":"GHOST","quantity":1}]' ${ROW}`,
        at('confirmed'),
      ]),
      violates: { I2: ['acme/GHOST'] },
    },
  ],

  'I3 no acknowledged order lost': [
    {
      name: 'an acknowledged order that is gone',
      plant: ({ recorded: { acks } }) => {
        const [first] = acks
        if (first !== undefined) acks.push({ ...first, order_id: ORDERS.stranger })
      },
      violates: { I3: [of('stranger')] },
    },
    {
      name: 'another fingerprint',
      plant: order([`UPDATE oms.orders SET fp = '\\x22' ${ROW}`, at('declined')]),
      violates: { I3: [of('declined')] },
    },
    {
      name: 'a tombstone in its place',
      plant: order([`UPDATE oms.orders SET fp = NULL ${ROW}`, at('declined')]),
      violates: { I3: [of('declined')] },
    },
    {
      name: 'another amount',
      plant: ({ recorded: { acks } }) => {
        for (const ack of acks) if (ack.status === 409) ack.amount_minor = 499
      },
      violates: { I3: [of('rejected')] },
    },
  ],

  'I4 every order ends': [
    {
      name: 'an order that is due for more than a minute',
      plant: order([
        `INSERT INTO oms.orders (tenant_id, order_id, state, lines, decide_at, next_run_at)
         VALUES ($1, $2, 10, '[]', now(), now() - interval '61 s')`,
        at('stranger'),
      ]),
      violates: { I4: [of('stranger')] },
    },
    {
      name: 'an unfinished order when nothing is under way',
      plant: order([
        `INSERT INTO oms.orders (tenant_id, order_id, state, lines, decide_at, next_run_at)
         VALUES ($1, $2, 35, '[]', now(), now() + interval '5 s')`,
        at('stranger'),
      ]),
      violates: { I4: [of('stranger')] },
      quiescent: true,
    },
  ],

  'I5 confirmed ⇒ paid, in stock': [
    {
      name: 'no payment',
      plant: async (w) => {
        await payment(
          [`DELETE FROM oms.ledger ${ROW}`, at('confirmed')],
          [`DELETE FROM oms.payment ${ROW}`, at('confirmed')],
        )(w)
        w.recorded.charges = w.recorded.charges.filter(({ id }) => id !== 'ch_acme_1')
      },
      violates: { I5: [of('confirmed')] },
    },
    {
      name: 'a declined payment',
      plant: async (w) => {
        await payment(
          [`DELETE FROM oms.ledger ${ROW}`, at('confirmed')],
          [`UPDATE oms.payment SET state = 3 ${ROW}`, at('confirmed')],
        )(w)
        entry(w, 'acme', 'confirmed').status = 'declined'
      },
      violates: { I5: [of('confirmed')] },
    },
    {
      name: 'no reservation',
      plant: inventory(
        [`DELETE FROM oms.reservation ${ROW}`, at('confirmed')],
        [
          `UPDATE oms.stock SET sold = sold - 5, available = available + 5 WHERE tenant_id = 'acme'`,
        ],
      ),
      violates: { I5: [of('confirmed')] },
    },
    {
      name: 'a released reservation',
      plant: confirmedReservation(3, 'available'),
      violates: { I5: [of('confirmed')] },
    },
    {
      name: 'a reservation that is held when nothing is under way',
      plant: confirmedReservation(1, 'reserved'),
      violates: { I5: [of('confirmed')] },
      quiescent: true,
    },
  ],

  'I6 failed ⇒ nothing kept': [
    {
      name: 'a declined order whose payment is still processing',
      plant: payment([
        `UPDATE oms.payment SET state = 1, next_run_at = now() + interval '3 s' ${ROW}`,
        at('declined'),
      ]),
      violates: { I6: [of('declined')] },
    },
    {
      name: 'a cancelled order whose refund failed',
      plant: async (w) => {
        await payment(
          [`UPDATE oms.refund SET state = 3 ${ROW}`, at('refunded')],
          [`DELETE FROM oms.ledger ${ROW} AND entry = 1`, at('refunded')],
        )(w)
        for (const refund of w.recorded.refunds) refund.status = 'failed'
      },
      violates: { I6: [of('refunded')] },
    },
    {
      name: 'a declined order that holds stock',
      plant: inventory(
        [`UPDATE oms.reservation SET state = 1 ${ROW}`, at('declined')],
        [
          `UPDATE oms.stock SET reserved = reserved + 5, available = available - 5 WHERE tenant_id = 'acme'`,
        ],
      ),
      violates: { I6: [of('declined')] },
    },
    {
      name: 'a cancelled order that took stock',
      plant: inventory(
        [`UPDATE oms.reservation SET state = 2 ${ROW}`, at('voided')],
        [
          `UPDATE oms.stock SET sold = sold + 5, available = available - 5 WHERE tenant_id = 'acme'`,
        ],
      ),
      violates: { I6: [of('voided')] },
    },
    {
      name: 'a rejected order whose payment is processing',
      plant: payment([
        `INSERT INTO oms.payment (tenant_id, order_id, fp, state, amount_minor, currency, psp_key, next_run_at)
         VALUES ($1, $2, '\\x11', 1, 500, 'EUR', $3, now() + interval '3 s')`,
        [...at('rejected'), pspKey('acme', ORDERS.rejected)],
      ]),
      violates: { I6: [of('rejected')] },
    },
  ],

  'I7 never back, final immutable': [
    {
      name: 'a step back',
      plant: rewritten('declined', [10, 'none', false], [30, 'none', false], [10, 'none', false]),
      violates: { I7: [of('declined')] },
    },
    {
      name: 'a refunding order that is confirmed after all',
      plant: rewritten(
        'confirmed',
        [10, 'none', true],
        [35, 'captured', true],
        [100, 'captured', true],
      ),
      violates: { I7: [of('confirmed')] },
    },
    {
      name: 'a beginning that is not pending',
      plant: rewritten('rejected', [30, 'none', false]),
      violates: { I7: [of('rejected')] },
    },
    {
      name: 'a change of a final order',
      plant: history('confirmed', [100, 'captured', false]),
      violates: { I7: [of('confirmed')] },
    },
    {
      name: 'a final state after a final state',
      plant: rewritten('rejected', [10, 'none', false], [110, 'none', false], [30, 'none', false]),
      violates: { I7: [of('rejected')] },
    },
    {
      name: 'a cancel that was taken back',
      plant: rewritten('declined', [10, 'none', true], [30, 'none', false]),
      violates: { I7: [of('declined')] },
    },
    {
      name: 'a cancel that came after the verdict',
      plant: rewritten(
        'declined',
        [10, 'none', false],
        [40, 'voided', false],
        [40, 'voided', true],
      ),
      violates: { I7: [of('declined')] },
    },
    {
      name: 'a refund without a cancel',
      plant: rewritten('declined', [10, 'none', false], [35, 'captured', false]),
      violates: { I7: [of('declined')] },
    },
    {
      name: 'a confirmation in spite of a cancel',
      plant: rewritten('confirmed', [10, 'none', true], [100, 'captured', true]),
      violates: { I7: [of('confirmed')] },
    },
    {
      name: 'a final state without its verdict',
      plant: rewritten('confirmed', [10, 'none', false], [100, 'none', false]),
      violates: { I7: [of('confirmed')] },
    },
    {
      name: 'a state that §3.1 does not know',
      plant: rewritten('declined', [10, 'none', false], [50, 'none', false]),
      violates: { I7: [of('declined')] },
    },
    {
      name: 'an order that is gone',
      plant: history('stranger', [10, 'none', false]),
      violates: { I7: [of('stranger')] },
    },
  ],

  'I8 same key, body → same answer': [
    {
      name: 'two statuses for one key',
      plant: ({ recorded: { answers } }) => {
        const first = answers.find(({ status }) => status === 402)
        // Of an order without a row, so that the answers have only each other to contradict.
        for (const status of [402, 409])
          if (first !== undefined) answers.push({ ...first, order_id: ORDERS.stranger, status })
        for (const answer of answers)
          if (answer.order_id === ORDERS.stranger) answer.idempotency_key = ORDERS.stranger
      },
      violates: { I8: [of('stranger')] },
    },
    {
      name: 'two bodies for one key',
      plant: ({ recorded: { answers } }) => {
        const first = answers.find(({ status }) => status === 402)
        if (first !== undefined) answers.push({ ...first, body_sha256: 'ff'.repeat(32) })
      },
      violates: { I8: [of('declined')] },
    },
    {
      name: 'two orders for one key',
      plant: ({ recorded: { answers } }) => {
        const first = answers.find(({ order_id: id }) => id === ORDERS.rejected)
        if (first !== undefined) answers.push({ ...first, order_id: ORDERS.voided })
      },
      violates: { I8: [of('rejected')] },
    },
    {
      name: 'an answer that the row contradicts',
      plant: ({ recorded: { answers } }) => {
        for (const answer of answers) if (answer.status === 402) answer.status = 201
      },
      violates: { I8: [of('declined')] },
    },
    {
      name: 'a verdict that flips',
      plant: rewritten(
        'declined',
        [10, 'none', false],
        [40, 'voided', false],
        [40, 'declined', false],
      ),
      violates: { I8: [of('declined')] },
    },
    {
      name: 'a refund of what was never captured',
      plant: rewritten('refunded', [10, 'none', true], [40, 'refunded', true]),
      violates: { I8: [of('refunded')] },
    },
  ],

  'I9 tenants isolated': [
    {
      name: "a charge under another tenant's key",
      plant: payment([
        `UPDATE oms.payment SET psp_key = $3 ${ROW}`,
        [...at('confirmed'), pspKey('globex', ORDERS.confirmed)],
      ]),
      violates: { I9: [of('confirmed')] },
    },
    {
      name: "a refund under another tenant's key",
      plant: payment([
        `UPDATE oms.refund SET psp_key = $3 ${ROW}`,
        [...at('refunded'), pspKey('globex', ORDERS.refunded, 'r1')],
      ]),
      violates: { I9: [of('refunded')] },
    },
    {
      name: 'a payment of an order that its tenant has not',
      plant: payment([
        'INSERT INTO oms.payment (tenant_id, order_id, state, decided_at) VALUES ($1, $2, 4, now())',
        at('declined', 'globex'),
      ]),
      violates: { I9: [of('declined', 'globex')] },
    },
    {
      name: 'a reservation of an order that its tenant has not',
      plant: inventory([
        'INSERT INTO oms.reservation (tenant_id, order_id, state) VALUES ($1, $2, 3)',
        at('declined', 'globex'),
      ]),
      violates: { I9: [of('declined', 'globex')] },
    },
    {
      name: 'an event of an order that its tenant has not',
      plant: order([
        `INSERT INTO oms.order_event (tenant_id, seq, order_id, type, body) VALUES ($1, 3, $2, 'order.declined', '{}')`,
        at('declined', 'globex'),
      ]),
      violates: { I9: [of('declined', 'globex')] },
    },
    {
      name: 'a ledger entry of a payment that its tenant has not',
      plant: payment([
        `INSERT INTO oms.ledger (tenant_id, order_id, entry, debit, credit, currency, amount_minor)
         VALUES ($1, $2, 0, 'psp', 'sales', 'EUR', 3), ($1, $2, 1, 'sales', 'psp', 'EUR', 3)`,
        at('rejected'),
      ]),
      violates: { I9: [of('rejected')] },
    },
    {
      name: "a processor entry whose key is another tenant's",
      plant: (w) => {
        entry(w, 'acme', 'declined').idempotency_key = pspKey('globex', ORDERS.declined)
      },
      violates: { I9: [of('declined')] },
    },
    {
      name: "a payment that points at another tenant's charge",
      plant: payment([`UPDATE oms.payment SET psp_ref = 'ch_globex_1' ${ROW}`, at('confirmed')]),
      violates: { I9: [of('confirmed')] },
    },
    {
      name: 'a table whose row security is not forced',
      plant: payment(['ALTER TABLE oms.refund NO FORCE ROW LEVEL SECURITY']),
      violates: { I9: ['oms_payment.refund'] },
    },
    {
      name: 'a policy that lets a tenant see the others',
      plant: inventory([
        'CREATE POLICY leak ON oms.reservation FOR SELECT TO oms_inventory USING (true)',
      ]),
      violates: { I9: ['oms_inventory.reservation'] },
    },
  ],

  'I10 books balance': [
    {
      name: 'an account that is not captured - refunded',
      plant: async (w) => {
        await payment([`UPDATE oms.ledger SET amount_minor = 501 ${ROW}`, at('confirmed')])(w)
        entry(w, 'acme', 'confirmed').amount = 501
      },
      violates: { I10: [of('confirmed')] },
    },
    {
      name: 'a refund without its ledger entry',
      plant: async (w) => {
        await payment([`DELETE FROM oms.ledger ${ROW} AND entry = 1`, at('refunded')])(w)
        w.recorded.refunds = []
      },
      violates: { I10: [of('refunded')] },
    },
    {
      name: "an entry in another currency than the payment's",
      plant: async (w) => {
        await payment([`UPDATE oms.ledger SET currency = 'USD' ${ROW}`, at('confirmed')])(w)
        entry(w, 'acme', 'confirmed').currency = 'USD'
      },
      violates: { I10: [of('confirmed')] },
    },
    {
      name: 'an amount that the processor does not know',
      plant: (w) => {
        entry(w, 'globex', 'confirmed').amount = 499
      },
      violates: { I10: [of('confirmed', 'globex')] },
    },
    {
      name: 'a currency that the processor does not know',
      plant: (w) => {
        entry(w, 'globex', 'confirmed').currency = 'EUR'
      },
      violates: { I10: [of('confirmed', 'globex')] },
      quiescent: true,
    },
    {
      name: 'a capture of a payment that was declined',
      plant: (w) => {
        entry(w, 'acme', 'declined').status = 'succeeded'
      },
      violates: { I10: [of('declined')] },
    },
    {
      name: 'a capture that the processor has not',
      plant: ({ recorded }) => {
        recorded.charges = recorded.charges.filter(({ id }) => id !== 'ch_acme_1')
      },
      violates: { I10: [of('confirmed')] },
    },
  ],

  'I11 announced exactly once': [
    {
      name: 'a final order without an event',
      plant: order(
        [`DELETE FROM oms.order_event ${ROW}`, at('refunded')],
        [`UPDATE oms.order_event SET seq = seq + 100 WHERE tenant_id = 'acme'`],
        [
          `UPDATE oms.order_event e SET seq = n FROM (SELECT seq, row_number() OVER (ORDER BY seq) AS n
             FROM oms.order_event WHERE tenant_id = 'acme') r WHERE e.tenant_id = 'acme' AND e.seq = r.seq`,
        ],
      ),
      violates: { I11: [of('refunded')] },
    },
    {
      name: 'an event that is published and still in the outbox',
      plant: order([
        `INSERT INTO oms.outbox (tenant_id, order_id, type, body)
         SELECT tenant_id, order_id, type, body FROM oms.order_event ${ROW}`,
        at('confirmed'),
      ]),
      violates: { I11: [of('confirmed')] },
    },
    {
      name: 'two events of one order',
      plant: order([
        `INSERT INTO oms.order_event (tenant_id, seq, order_id, type, body)
         VALUES ($1, 6, $2, 'order.cancelled', '{}')`,
        at('confirmed'),
      ]),
      violates: { I11: [of('confirmed')] },
    },
    {
      name: 'an event of an order that has not ended',
      plant: order(
        [
          `INSERT INTO oms.orders (tenant_id, order_id, state, lines, decide_at, next_run_at)
           VALUES ($1, $2, 10, '[]', now(), now() + interval '5 s')`,
          at('stranger'),
        ],
        [
          `INSERT INTO oms.outbox (tenant_id, order_id, type, body) VALUES ($1, $2, 'order.confirmed', '{}')`,
          at('stranger'),
        ],
      ),
      violates: { I11: [of('stranger')] },
    },
    {
      name: 'an event of another outcome',
      plant: order([`UPDATE oms.order_event SET type = 'order.confirmed' ${ROW}`, at('declined')]),
      violates: { I11: [of('declined')] },
    },
    {
      name: 'an event that was two seconds late',
      plant: order([
        `UPDATE oms.order_event e SET created_at = o.finished_at + interval '2.1 s' FROM oms.orders o
          WHERE (o.tenant_id, o.order_id) = (e.tenant_id, e.order_id) AND (e.tenant_id, e.order_id) = ($1, $2)`,
        at('declined'),
      ]),
      violates: { I11: [of('declined')] },
    },
    {
      name: 'an outbox row that waits for two seconds',
      plant: order(
        [
          `INSERT INTO oms.outbox (tenant_id, order_id, type, body, created_at)
           SELECT tenant_id, order_id, type, body, now() - interval '2.1 s' FROM oms.order_event
            WHERE tenant_id = 'acme' AND seq = 5`,
        ],
        [`DELETE FROM oms.order_event WHERE tenant_id = 'acme' AND seq = 5`],
      ),
      violates: { I11: [of('refunded')] },
    },
    {
      name: 'an outbox row when nothing is under way',
      plant: order(
        [
          `INSERT INTO oms.outbox (tenant_id, order_id, type, body)
           SELECT tenant_id, order_id, type, body FROM oms.order_event WHERE tenant_id = 'acme' AND seq = 5`,
        ],
        [`DELETE FROM oms.order_event WHERE tenant_id = 'acme' AND seq = 5`],
      ),
      violates: { I11: [of('refunded')] },
      quiescent: true,
    },
    {
      name: 'a gap in the numbers of a tenant',
      plant: order([`UPDATE oms.order_event SET seq = 6 WHERE tenant_id = 'acme' AND seq = 5`]),
      violates: { I11: ['acme'] },
    },
    {
      name: 'numbers that do not begin with 1',
      plant: order([`UPDATE oms.order_event SET seq = 0 WHERE tenant_id = 'globex' AND seq = 1`]),
      violates: { I11: ['globex'] },
    },
  ],

  'I12 nothing leaks': [
    {
      name: "a payment's lease that nobody takes",
      plant: payment([
        `UPDATE oms.payment SET next_run_at = now() - interval '1 s' ${ROW}`,
        at('voided'),
      ]),
      violates: { I12: [of('voided')] },
      quiescent: true,
    },
    {
      name: "a refund's lease that nobody takes",
      plant: payment([
        `UPDATE oms.refund SET next_run_at = now() - interval '1 s' ${ROW}`,
        at('refunded'),
      ]),
      violates: { I12: [of('refunded')] },
      quiescent: true,
    },
    {
      name: "an order's lease that nobody takes",
      plant: order([
        `UPDATE oms.orders SET next_run_at = now() - interval '1 s' ${ROW}`,
        at('voided'),
      ]),
      violates: { I12: [of('voided')] },
      quiescent: true,
    },
    ...['limiter_in_flight', 'limiter_queued', 'postgres_pool_busy'].map((gauge) => ({
      name: `${gauge} that rests above zero`,
      plant: ({ recorded: { gauges } }: World) => {
        gauges[gauge] = 1
      },
      violates: { I12: ['METRICS'] },
      quiescent: true,
    })),
  ],
}

for (const [invariant, plants] of Object.entries(PLANTS))
  describe(invariant, () => {
    for (const { name, plant, violates, quiescent } of plants)
      it(`names ${name}`, async () => {
        await plant(world)
        const argv = [...world.everything(), ...(quiescent === true ? ['--quiescent'] : [])]
        const { code, rows, err } = await world.run(argv)
        expect(err).toBe('')
        const violated = rows.filter(({ result }) => result === 'violated')
        expect(
          Object.fromEntries(
            violated.map(({ id, findings }) => [
              id,
              findings.map(({ subject }) => subject.replace(/^http.*/, 'METRICS')),
            ]),
          ),
        ).toEqual(violates)
        expect(code).toBe(1)
      })
  })
