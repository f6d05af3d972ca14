/** The promises of protocol §1 as data: what each needs beyond the databases, and who breaks it. */
import { announcementsNote, misannounced } from './announcements.ts'
import type { Evidence, Finding } from './evidence.ts'
import { brokenPath, flippedVerdict, stateName } from './history.ts'
import { balancesNote, chargedTwice, ledgerNeeded, ledgerNote, unbalanced } from './money.ts'
import { keptOfFailed, lostOrders, unendedOrders, unpaidOrders } from './orders.ts'
import { strayRows } from './tenants.ts'

export interface Invariant {
  readonly id: string
  readonly promise: string
  /** The input that is missing for an "ok"; undefined where nothing is. */
  needs?(evidence: Evidence): string | undefined
  check(evidence: Evidence): readonly Finding[]
  /** What was looked at, and what was not. */
  note(evidence: Evidence): string
  /** Part of the promise holds only when nothing is under way. */
  readonly quiescentPart?: string
}

export const INVARIANTS: readonly Invariant[] = [
  {
    id: 'I1',
    promise: 'charged at most once',
    needs: ledgerNeeded,
    check: chargedTwice,
    note: ledgerNote,
    quiescentPart: 'money kept',
  },
  {
    id: 'I2',
    promise: 'never oversold',
    check: ({ snapshot }) => snapshot.stock,
    note: ({ snapshot }) => `${snapshot.skus} SKUs, ${snapshot.reservations.size} reservations`,
  },
  {
    id: 'I3',
    promise: 'no acknowledged order lost',
    needs: ({ acks }) => (acks === undefined ? '--acks FILE' : undefined),
    check: lostOrders,
    note: ({ acks }) => (acks === undefined ? '' : `${acks.length} acknowledgements`),
  },
  {
    id: 'I4',
    promise: 'every order ends',
    check: unendedOrders,
    note: ({ snapshot }) => {
      const unfinished = [...snapshot.orders.values()].filter(({ state }) => state < 100)
      return `${snapshot.orders.size} orders, ${unfinished.length} unfinished`
    },
    quiescentPart: 'state < 100',
  },
  {
    id: 'I5',
    promise: 'confirmed ⇒ paid, in stock',
    check: unpaidOrders,
    note: ({ snapshot }) => `${count(snapshot, [100])} confirmed`,
    quiescentPart: 'stock settled',
  },
  {
    id: 'I6',
    promise: 'failed ⇒ nothing kept',
    check: keptOfFailed,
    note: ({ snapshot }) => `${count(snapshot, [110, 120, 130])} rejected, declined or cancelled`,
  },
  {
    id: 'I7',
    promise: 'never back, final immutable',
    needs: ({ snapshot }) =>
      snapshot.history === undefined ? 'the history trigger (install-history)' : undefined,
    check: wrongPaths,
    note: ({ snapshot }) =>
      snapshot.history === undefined ? '' : `paths of ${snapshot.history.size} orders`,
  },
  {
    id: 'I8',
    promise: 'same key, body → same answer',
    needs: ({ answers }) => (answers === undefined ? '--answers FILE' : undefined),
    check: contradictions,
    note: ({ answers, snapshot }) =>
      [
        answers === undefined ? undefined : `${answers.length} final answers`,
        snapshot.history === undefined
          ? 'verdict flips not checked: needs the history trigger'
          : 'no verdict flips in the history',
      ]
        .filter((part) => part !== undefined)
        .join('; '),
  },
  {
    id: 'I9',
    promise: 'tenants isolated',
    needs: ({ snapshot }) =>
      snapshot.visibility.probed ? undefined : "the right to act as the services' roles",
    check: strayRows,
    note: ({ ledger }) =>
      `rows, keys, row security${ledger ? ', processor entries' : ''}; responses, logs, metrics, traces not checked: needs the tests of S1-S16`,
  },
  {
    id: 'I10',
    promise: 'books balance',
    needs: ledgerNeeded,
    check: unbalanced,
    note: (evidence) => `${balancesNote(evidence)}; ${ledgerNote(evidence)}`,
  },
  {
    id: 'I11',
    promise: 'announced exactly once',
    check: misannounced,
    note: announcementsNote,
    quiescentPart: 'outbox empty',
  },
  {
    id: 'I12',
    promise: 'nothing leaks',
    needs: gaugesNeeded,
    check: leaks,
    note: ({ gauges, quiescent }) =>
      !quiescent || gauges === undefined
        ? ''
        : `leases; permits, queues, connections of ${new Set(gauges.map(({ url }) => url)).size} processes`,
  },
]

function count({ orders }: Evidence['snapshot'], states: readonly number[]): number {
  return [...orders.values()].filter(({ state }) => states.includes(state)).length
}

function wrongPaths({ snapshot: { history, orders } }: Evidence): Finding[] {
  return [...(history ?? [])].flatMap(([key, steps]) => {
    const why = orders.has(key) ? brokenPath(steps) : 'the row is gone'
    return why === undefined ? [] : [{ subject: key, why }]
  })
}

/** Row → answer: protocol §5. */
const STATES_OF_STATUS: Readonly<Record<number, readonly number[]>> = {
  201: [100],
  402: [120],
  409: [110, 130],
}

function contradictions({ answers = [], snapshot: { orders, history } }: Evidence): Finding[] {
  const keys = Map.groupBy(answers, ({ idempotencyKey }) => idempotencyKey)
  const differing = [...keys.values()].flatMap((group) => {
    const [first] = group
    const other = group.find(
      ({ status, bodySha256, key }) =>
        status !== first?.status || bodySha256 !== first.bodySha256 || key !== first.key,
    )
    if (first === undefined || other === undefined) return []
    const what =
      other.key !== first.key
        ? `answered as ${first.key} and ${other.key}`
        : other.status !== first.status
          ? `answered ${first.status} and ${other.status}`
          : `answered ${first.status} with two bodies`
    return [{ subject: first.key, why: what }]
  })
  const denied = answers.flatMap(({ key, status }) => {
    const state = orders.get(key)?.state
    if (state === undefined || STATES_OF_STATUS[status]?.includes(state) === true) return []
    return [{ subject: key, why: `answered ${status}, the row says ${stateName(state)}` }]
  })
  const flipped = [...(history ?? [])].flatMap(([key, steps]) => {
    const why = flippedVerdict(steps)
    return why === undefined ? [] : [{ subject: key, why }]
  })
  return [...differing, ...denied, ...flipped]
}

function gaugesNeeded({ quiescent, gauges }: Evidence): string | undefined {
  if (!quiescent) return '--quiescent'
  if (gauges === undefined) return '--metrics URL…'
  const missing = gauges.find(({ lowest }) => lowest === undefined)
  return missing && `${missing.name} at ${missing.url}`
}

function leaks({ snapshot, gauges = [], quiescent }: Evidence): Finding[] {
  if (!quiescent) return []
  const orders = [...snapshot.orders].filter(([, { due }]) => due)
  const payments = [...snapshot.payments].filter(([, { due }]) => due)
  const refunds = snapshot.refunds.filter(({ due }) => due)
  return [
    ...orders.map(([key]) => ({ subject: key, why: "the order's lease is due" })),
    ...payments.map(([key]) => ({ subject: key, why: "the payment's lease is due" })),
    ...refunds.map(({ key }) => ({ subject: key, why: "the refund's lease is due" })),
    ...gauges
      .filter(({ lowest }) => lowest !== undefined && lowest !== 0)
      .map(({ url, name, lowest }) => ({ subject: url, why: `${name} rests at ${lowest}` })),
  ]
}
