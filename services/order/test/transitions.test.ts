import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nextCommand, type OrderState, STATE_CODES, type Verdict } from '../src/domain/order.ts'
import {
  type Answer,
  type Command,
  type Occurrence,
  reactionTo,
  TRANSITIONS,
  transitionOf,
} from '../src/domain/transitions.ts'
import { createScene, type OrderRow, type Scene } from './scene.ts'

let scene: Scene
beforeAll(async () => {
  scene = await createScene()
})
afterAll(() => scene.close())

const STATES = Object.keys(STATE_CODES) as OrderState[]
const FINAL = STATES.filter((state) => STATE_CODES[state] >= 100)

/** Verdicts that may stand in a state. */
const VERDICTS: Readonly<Record<OrderState, readonly Verdict[]>> = {
  pending: ['none'],
  payment_unknown: ['none'],
  refunding: ['captured'],
  compensating: ['declined', 'voided', 'refunded'],
  confirmed: ['captured'],
  rejected: ['none'],
  declined: ['declined'],
  cancelled: ['voided', 'refunded'],
}

/** Whether a cancel may be requested in a state; 35 has one, 100 has none. */
function cancelsIn(state: OrderState): readonly boolean[] {
  if (state === 'refunding') return [true]
  return state === 'confirmed' ? [false] : [false, true]
}

/** Columns of a row that every CHECK lets pass. */
function columns(state: OrderState, verdict: Verdict, cancelRequested: boolean) {
  const final = STATE_CODES[state] >= 100
  return {
    state: String(STATE_CODES[state]),
    verdict: `'${verdict}'`,
    cancel_requested_at: cancelRequested ? "now() - interval '1 s'" : 'NULL',
    next_run_at: final ? 'NULL' : "now() + interval '12 s'",
    finished_at: final ? 'now()' : 'NULL',
    payment_token: verdict === 'none' && !final ? "'pm_approve0001'" : 'NULL',
  }
}

type Query = (text: string, values?: readonly unknown[]) => Promise<{ rows: OrderRow[] }>

/** Runs on one connection and keeps nothing. */
async function rolledBack(work: (query: Query) => Promise<void>): Promise<void> {
  const client = await scene.admin.connect()
  const query: Query = (text, values) => client.query(text, values as unknown[])
  try {
    await query('BEGIN')
    await work(query)
  } finally {
    await query('ROLLBACK')
    client.release()
  }
}

let count = 0
async function insert(query: Query, fields: Readonly<Record<string, string>>): Promise<string> {
  const orderId = `00000000-0000-4000-8000-${String(++count).padStart(12, '0')}`
  const all = {
    tenant_id: "'acme'",
    order_id: `'${orderId}'`,
    fp: "'\\x01'",
    currency: "'EUR'",
    amount_minor: '3780',
    lines: "'[]'",
    decide_at: "now() + interval '60 s'",
    ...fields,
  }
  await query(
    `INSERT INTO oms.orders (${Object.keys(all)}) VALUES (${Object.values(all).join(', ')})`,
  )
  return orderId
}

/** SQLSTATE of a statement that must fail; `undefined` where it does not. Leaves the transaction usable. */
async function sqlState(
  query: Query,
  text: string,
  values: readonly unknown[] = [],
): Promise<{ readonly code?: string; readonly constraint?: string } | undefined> {
  await query('SAVEPOINT before')
  try {
    await query(text, values)
    return undefined
  } catch (error) {
    return error as { code: string; constraint: string }
  } finally {
    await query('ROLLBACK TO SAVEPOINT before')
  }
}

/** RAISE EXCEPTION of the guard. */
const GUARDED = 'P0001'
const CHECKED = '23514'

describe('the table of transitions', () => {
  test('is the one of the protocol, line by line', () => {
    const lines = TRANSITIONS.flatMap(({ from, on, cancelRequested, after, to, ...sets }) =>
      from.map((state) =>
        [
          `${STATE_CODES[state]}→${STATE_CODES[to]} ${on}`,
          cancelRequested === undefined ? '' : cancelRequested ? 'cancel' : 'no cancel',
          (after ?? []).join('|'),
          sets.verdict ?? '',
          sets.reason ?? '',
          sets.event ?? '',
        ]
          .filter((part) => part !== '')
          .join(' '),
      ),
    )
    expect(lines.sort()).toEqual(
      [
        '10→110 rejected out_of_stock order.rejected',
        '10→30 no_verdict',
        '10→100 captured no cancel captured order.confirmed',
        '30→100 captured no cancel captured order.confirmed',
        '10→35 captured cancel captured',
        '30→35 captured cancel captured',
        '10→40 declined declined payment_declined',
        '30→40 declined declined payment_declined',
        '10→40 voided cancel voided cancelled_by_client',
        '30→40 voided cancel voided cancelled_by_client',
        '10→40 voided no cancel voided timed_out',
        '30→40 voided no cancel voided timed_out',
        '35→40 refunded refunded cancelled_by_client',
        '40→120 released declined order.declined',
        '40→130 released voided|refunded order.cancelled',
      ].sort(),
    )
  })

  test('is what the guard allows: of all pairs of states, unlisted ones included, no other', async () => {
    const listed = new Set(
      TRANSITIONS.flatMap(({ from, to }) =>
        from.map((state) => `${STATE_CODES[state]}→${STATE_CODES[to]}`),
      ),
    )
    // A lease or a deferral keeps the state.
    for (const state of STATES)
      if (!FINAL.includes(state)) listed.add(`${STATE_CODES[state]}→${STATE_CODES[state]}`)
    const unlisted = { ...columns('pending', 'none', false), state: '20' }
    const all = [
      ...STATES.map((state) =>
        columns(state, VERDICTS[state][0] as Verdict, state === 'refunding'),
      ),
      unlisted,
    ]
    await rolledBack(async (query) => {
      for (const from of all) {
        const orderId = await insert(query, from)
        for (const to of all) {
          const { cancel_requested_at: cancel, ...sets } = to
          const flag =
            cancel === 'NULL'
              ? []
              : [`cancel_requested_at = coalesce(cancel_requested_at, ${cancel})`]
          const assignments = [
            ...Object.entries(sets).map(([name, value]) => `${name} = ${value}`),
            ...flag,
          ]
          const failed = await sqlState(
            query,
            `UPDATE oms.orders SET ${assignments} WHERE order_id = $1`,
            [orderId],
          )
          const pair = `${from.state}→${to.state}`
          expect([pair, failed?.code]).toEqual([pair, listed.has(pair) ? undefined : GUARDED])
        }
      }
    })
  })

  test('leaves a final order as it is, in every column', async () => {
    await rolledBack(async (query) => {
      const { rows } = await query(
        "SELECT column_name AS name FROM information_schema.columns WHERE table_schema = 'oms' AND table_name = 'orders'",
      )
      const names = rows.map((each) => (each as unknown as { name: string }).name)
      expect(names.length).toBeGreaterThanOrEqual(17)
      for (const state of FINAL) {
        const orderId = await insert(query, columns(state, VERDICTS[state][0] as Verdict, false))
        for (const name of names) {
          const failed = await sqlState(
            query,
            `UPDATE oms.orders SET ${name} = ${name} WHERE order_id = $1`,
            [orderId],
          )
          expect([state, name, failed?.code]).toEqual([state, name, GUARDED])
        }
      }
    })
  })

  test.each([
    ["fp = '\\x02'", {}],
    ['fp = NULL', {}],
    ['amount_minor = 1', {}],
    ["currency = 'CHF'", {}],
    [`lines = '[{"sku":"MUG"}]'`, {}],
    ['cancel_requested_at = NULL', { cancel_requested_at: 'now()' }],
    ["cancel_requested_at = now() + interval '1 s'", { cancel_requested_at: 'now()' }],
  ])('never lets an order change %s', async (assignment, fields) => {
    await rolledBack(async (query) => {
      const orderId = await insert(query, { ...columns('pending', 'none', false), ...fields })
      const failed = await sqlState(
        query,
        `UPDATE oms.orders SET ${assignment} WHERE order_id = $1`,
        [orderId],
      )
      expect(failed?.code).toBe(GUARDED)
    })
  })
})

describe('the functions', () => {
  const CALLS: Readonly<Record<Occurrence, string>> = {
    rejected: "oms.apply_rejected('acme', $1, NULL)",
    no_verdict: "oms.defer_order('acme', $1, true, false)",
    captured: "oms.apply_verdict('acme', $1, 'captured', NULL)",
    declined: "oms.apply_verdict('acme', $1, 'declined', NULL)",
    voided: "oms.apply_verdict('acme', $1, 'voided', NULL)",
    refunded: "oms.apply_refunded('acme', $1)",
    released: "oms.apply_released('acme', $1)",
  }

  const rowsThere = STATES.flatMap((state) =>
    VERDICTS[state].flatMap((verdict) =>
      cancelsIn(state).map((cancelRequested) => ({ state, verdict, cancelRequested })),
    ),
  )

  test.each(Object.keys(CALLS) as Occurrence[])(
    'write on "%s" what the table says, for every row that can stand, and nothing else',
    async (on) => {
      await rolledBack(async (query) => {
        for (const row of rowsThere) {
          const { state, verdict, cancelRequested } = row
          const orderId = await insert(query, columns(state, verdict, cancelRequested))
          const read = async () => {
            const { rows } = await query('SELECT * FROM oms.orders WHERE order_id = $1', [orderId])
            const { rows: events } = await query(
              'SELECT type, body FROM oms.outbox WHERE order_id = $1',
              [orderId],
            )
            return { order: rows[0] as OrderRow, events }
          }
          const { order: before } = await read()
          await query('SET LOCAL ROLE oms_order')
          const { rows: results } = await query(`SELECT role, entity FROM ${CALLS[on]}`, [orderId])
          await query('RESET ROLE')
          const { order: after, events } = await read()
          const [result] = results as unknown as { role: string; entity: OrderRow }[]
          const about = JSON.stringify({ ...row, on })
          const expected = transitionOf(row, on)

          expect([about, result?.entity.state]).toEqual([about, after.state])
          if (expected === undefined) {
            expect([about, result?.role]).toEqual([about, 'kept'])
            // A deferral moves the next pass, of an unfinished order only.
            const deferred = on === 'no_verdict' && after.next_run_at !== null
            expect([
              about,
              { ...after, ...(deferred ? { next_run_at: before.next_run_at } : {}) },
            ]).toEqual([about, before])
            expect([about, events]).toEqual([about, []])
            continue
          }
          const final = STATE_CODES[expected.to] >= 100
          expect([about, result?.role]).toEqual([about, 'written'])
          expect({ about, ...after }).toMatchObject({
            about,
            state: STATE_CODES[expected.to],
            verdict: expected.verdict ?? verdict,
            reason: expected.reason ?? null,
            payment_token: expected.to === 'payment_unknown' ? 'pm_approve0001' : null,
            finished_at: final ? expect.any(Date) : null,
            next_run_at: final ? null : expect.any(Date),
          })
          expect([about, events]).toEqual([
            about,
            expected.event === undefined
              ? []
              : [
                  {
                    type: expected.event,
                    body: { state: expected.to, currency: 'EUR', amount_minor: 3780 },
                  },
                ],
          ])
        }
      })
    },
  )
})

describe('the driver', () => {
  const rows = (due: boolean, cancelRequested: boolean) =>
    STATES.map((state) => [STATE_CODES[state], nextCommand({ state, due, cancelRequested })])

  test('sends next what the row says', () => {
    expect(rows(false, false)).toEqual([
      [10, 'reserve'],
      [30, 'charge'],
      [35, 'refund'],
      [40, 'release'],
      [100, undefined],
      [110, undefined],
      [120, undefined],
      [130, undefined],
    ])
    for (const [due, cancelRequested] of [
      [true, false],
      [false, true],
      [true, true],
    ] as const)
      expect(rows(due, cancelRequested).slice(0, 4)).toEqual([
        [10, 'void'],
        [30, 'void'],
        [35, 'refund'],
        [40, 'release'],
      ])
  })

  test('makes of every answer what the protocol says, and alerts on what it does not list', () => {
    const ANSWERS: readonly Answer[] = [
      'held',
      'committed',
      'rejected',
      'released',
      'captured',
      'declined',
      'voided',
      'refunded',
      'refund_failed',
      'contradiction',
      'processing',
      'unknown',
    ]
    const expected: Readonly<Record<Command, Partial<Record<Answer, string>>>> = {
      reserve: {
        held: 'send charge',
        committed: 'send charge',
        rejected: 'apply rejected',
        released: 'send void',
        unknown: 'later',
      },
      charge: {
        captured: 'apply captured',
        declined: 'apply declined',
        voided: 'apply voided',
        processing: 'later',
        unknown: 'later',
      },
      void: {
        captured: 'apply captured',
        declined: 'apply declined',
        voided: 'apply voided',
        processing: 'soon',
        unknown: 'later',
      },
      refund: { refunded: 'apply refunded', processing: 'soon', unknown: 'later' },
      release: { released: 'apply released', rejected: 'apply released', unknown: 'later' },
    }
    for (const command of Object.keys(expected) as Command[])
      for (const answer of ANSWERS) {
        const { kind, ...rest } = reactionTo(command, answer)
        const told = [kind, ...Object.values(rest)].join(' ')
        expect([command, answer, told]).toEqual([
          command,
          answer,
          expected[command][answer] ?? 'alert',
        ])
      }
  })
})

describe('a row that contradicts itself', () => {
  const final = { next_run_at: 'NULL', finished_at: 'now()' }
  const running = { next_run_at: 'now()', finished_at: 'NULL' }
  const cancelled = { cancel_requested_at: 'now()' }

  test.each<[string, string, Record<string, string>]>([
    ['10 with a verdict', 'verdict_by_state', { state: '10', verdict: "'captured'", ...running }],
    ['30 with a verdict', 'verdict_by_state', { state: '30', verdict: "'declined'", ...running }],
    [
      '35 without captured money',
      'verdict_by_state',
      { state: '35', verdict: "'none'", ...running, ...cancelled },
    ],
    ['35 without a cancel', 'cancel_by_state', { state: '35', verdict: "'captured'", ...running }],
    ['40 without a verdict', 'verdict_by_state', { state: '40', verdict: "'none'", ...running }],
    [
      '40 with captured money',
      'verdict_by_state',
      { state: '40', verdict: "'captured'", ...running },
    ],
    [
      '100 without captured money',
      'verdict_by_state',
      { state: '100', verdict: "'none'", ...final },
    ],
    [
      '100 with a cancel',
      'cancel_by_state',
      { state: '100', verdict: "'captured'", ...final, ...cancelled },
    ],
    ['110 with a verdict', 'verdict_by_state', { state: '110', verdict: "'voided'", ...final }],
    ['120 without a decline', 'verdict_by_state', { state: '120', verdict: "'voided'", ...final }],
    [
      '130 with captured money',
      'verdict_by_state',
      { state: '130', verdict: "'captured'", ...final },
    ],
    ['an end with a next run', 'final_rests', { state: '110', ...final, next_run_at: 'now()' }],
    ['no end and no next run', 'final_rests', { state: '10', ...running, next_run_at: 'NULL' }],
    ['an end without its time', 'final_is_dated', { state: '110', ...final, finished_at: 'NULL' }],
    [
      'the time of an end before it',
      'final_is_dated',
      { state: '10', ...running, finished_at: 'now()' },
    ],
    ['a request without an amount', 'priced', { state: '10', ...running, amount_minor: '0' }],
    ['a request without a currency', 'priced', { state: '10', ...running, currency: "''" }],
  ])('is refused: %s', async (_what, constraint, fields) => {
    await expect(
      rolledBack(async (query) => void (await insert(query, fields))),
    ).rejects.toMatchObject({
      code: CHECKED,
      constraint,
    })
  })

  test.each([
    'state',
    'verdict',
    'currency',
    'amount_minor',
    'lines',
    'decide_at',
    'attempt',
    'created_at',
  ])('is refused: no %s, for a CHECK would pass on it', async (column) => {
    const fields = { state: '10', ...running, [column]: 'NULL' }
    await expect(
      rolledBack(async (query) => void (await insert(query, fields))),
    ).rejects.toMatchObject({
      code: '23502',
      column,
    })
  })

  test.each([0, 1_000_000_001])('is refused: a unit price of %i', async (price) => {
    await expect(
      scene.admin.query("INSERT INTO oms.price VALUES ('acme', 'X', 'EUR', $1)", [price]),
    ).rejects.toMatchObject({ code: CHECKED })
  })

  test('is not one: a tombstone, without fingerprint, lines and price', async () => {
    await rolledBack(async (query) => {
      await insert(query, {
        fp: 'NULL',
        currency: "''",
        amount_minor: '0',
        state: '10',
        ...running,
        ...cancelled,
      })
    })
  })
})
