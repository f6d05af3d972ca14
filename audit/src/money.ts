/** I1 and I10: what was charged, refunded and booked, by the service's tables and by the processor's own ledger. */
import type { Evidence, Finding, Key, LedgerEntry, Snapshot } from './evidence.ts'
import { orderOf } from './psp-key.ts'

/** What I1 and I10 lack to be complete. */
export function ledgerNeeded({ ledger, simulated, snapshot }: Evidence): string | undefined {
  if (ledger !== undefined) return undefined
  if (!simulated) return 'PROCESSOR_URL'
  const real = [...snapshot.payments.values()].some(
    ({ state, pspRef }) => state === 2 && pspRef?.startsWith('sim_') !== true,
  )
  return real ? 'PROCESSOR_URL (payments were captured by a processor)' : undefined
}

export function ledgerNote({ ledger }: Evidence): string {
  if (ledger === undefined) return 'payment tables alone, no processor'
  return `processor: ${ledger.charges.length} charges, ${ledger.refunds.length} refunds`
}

export function chargedTwice(evidence: Evidence): Finding[] {
  const { snapshot, ledger, quiescent } = evidence
  const entries = snapshot.accounts
    .filter(({ captures }) => captures > 1)
    .map(({ key, captures }) => ({ subject: key, why: `${captures} charges in the ledger table` }))
  const done = snapshot.refunds.filter(({ state }) => state === 2)
  const repeated = duplicates(done, ({ pspKey }) => pspKey).map(([refund, times]) => ({
    subject: refund.key,
    why: `${times} refunds of one key in the payment tables`,
  }))
  const captures = duplicates(
    succeeded(ledger?.charges),
    ({ merchant_reference: reference }) => reference,
  ).map(([charge, times]) => ({ subject: subjectOf(charge), why: `captured ${times} times` }))
  const refunds = duplicates(
    succeeded(ledger?.refunds),
    ({ idempotency_key: pspKey }) => pspKey,
  ).map(([refund, times]) => ({
    subject: subjectOf(refund),
    why: `refunded ${times} times by one key`,
  }))
  const kept = quiescent ? wrongMoney(evidence) : []
  return [...entries, ...repeated, ...captures, ...refunds, ...kept]
}

/** Quiescent: a confirmed order's amount is kept, of every other order nothing. */
function wrongMoney({ snapshot, ledger }: Evidence): Finding[] {
  const tables = sums(bookedByTables(snapshot))
  const processor = ledger === undefined ? undefined : sums(bookedByProcessor(snapshot, ledger))
  const keys = new Set([...snapshot.orders.keys(), ...tables.keys(), ...(processor?.keys() ?? [])])
  return [...keys].flatMap((key) => {
    const order = snapshot.orders.get(key)
    const due = order?.state === 100 ? order.amount : 0
    return [
      { kept: tables.get(key) ?? 0, witness: 'the payment tables' },
      ...(processor ? [{ kept: processor.get(key) ?? 0, witness: 'the processor' }] : []),
    ]
      .filter(({ kept }) => kept !== due)
      .map(({ kept, witness }) => ({
        subject: key,
        why: `${kept} kept instead of ${due} by ${witness}`,
      }))
  })
}

export function unbalanced(evidence: Evidence): Finding[] {
  const { snapshot, ledger, quiescent } = evidence
  const accounts: Booking[] = snapshot.accounts.map(({ key, currency, balance }) => ({
    key,
    currency,
    amount: balance,
  }))
  const booked = bookedByTables(snapshot)
  const internal = differences(accounts, booked).map(({ key, currency, left, right }) => ({
    subject: key,
    why: `account psp ${left} ${currency}, captured - refunded ${right}`,
  }))
  if (ledger === undefined) return internal
  const moving = quiescent ? new Set<Key>() : underWay(evidence)
  const external = differences(accounts, bookedByProcessor(snapshot, ledger))
    .filter(({ key }) => !moving.has(key))
    .map(({ key, currency, left, right }) => ({
      subject: key,
      why: `account psp ${left} ${currency}, the processor's ledger ${right}`,
    }))
  return [...internal, ...external]
}

/** Balances per tenant and currency: what I10 promises, in a few words. */
export function balancesNote({ snapshot }: Evidence): string {
  const balances = new Set(
    snapshot.accounts.map(({ key, currency }) => `${key.split('/')[0]} ${currency}`),
  )
  return `${balances.size} balances (tenant, currency), compared order by order`
}

/**
 * Orders whose payment or refund was open in the payment snapshot, or began after it: the processor, asked later,
 * may know more than the tables.
 */
function underWay({ snapshot, ledger, late }: Evidence): ReadonlySet<Key> {
  const open = [...snapshot.payments].filter(([, { state }]) => state === 1).map(([key]) => key)
  const refunding = snapshot.refunds.filter(({ state }) => state === 1).map(({ key }) => key)
  const begun = (ledger?.refunds ?? [])
    .filter(({ idempotency_key: pspKey }) => late.refundKeys.has(pspKey))
    .map(subjectOf)
  return new Set([...open, ...refunding, ...late.payments, ...begun])
}

interface Booking {
  readonly key: Key
  readonly currency: string
  readonly amount: number
}

function bookedByTables({ payments, refunds }: Snapshot): Booking[] {
  const captured = [...payments]
    .filter(([, { state }]) => state === 2)
    .map(([key, { currency, amount }]) => ({ key, currency, amount }))
  const refunded = refunds
    .filter(({ state }) => state === 2)
    .map(({ key, amount }) => ({
      key,
      currency: payments.get(key)?.currency ?? '',
      amount: -amount,
    }))
  return [...captured, ...refunded]
}

function bookedByProcessor(snapshot: Snapshot, ledger: NonNullable<Evidence['ledger']>): Booking[] {
  const deployments = new Set(
    [...snapshot.payments.values()].flatMap(({ pspKey }) => pspKey?.split(':')[1] ?? []),
  )
  const bookings = (entries: readonly LedgerEntry[], sign: 1 | -1): Booking[] =>
    succeeded(entries).flatMap(({ merchant_reference: reference, currency, amount }) => {
      const order = orderOf(reference)
      // The processor may serve other deployments and other merchants, too.
      const ours =
        order !== undefined && (deployments.size === 0 || deployments.has(order.deployment))
      return ours ? [{ key: order.key, currency, amount: sign * amount }] : []
    })
  return [...bookings(ledger.charges, 1), ...bookings(ledger.refunds, -1)]
}

function sums(bookings: readonly Booking[]): ReadonlyMap<Key, number> {
  const totals = new Map<Key, number>()
  for (const { key, amount } of bookings) totals.set(key, (totals.get(key) ?? 0) + amount)
  return totals
}

interface Difference {
  readonly key: Key
  readonly currency: string
  readonly left: number
  readonly right: number
}

function differences(left: readonly Booking[], right: readonly Booking[]): Difference[] {
  const byCurrency = (bookings: readonly Booking[]) =>
    sums(bookings.map((booking) => ({ ...booking, key: `${booking.key} ${booking.currency}` })))
  const [lefts, rights] = [byCurrency(left), byCurrency(right)]
  return [...new Set([...lefts.keys(), ...rights.keys()])]
    .map((both) => {
      const [key = '', currency = ''] = both.split(' ')
      return { key, currency, left: lefts.get(both) ?? 0, right: rights.get(both) ?? 0 }
    })
    .filter((difference) => difference.left !== difference.right)
}

function succeeded(entries: readonly LedgerEntry[] = []): LedgerEntry[] {
  return entries.filter(({ status }) => status === 'succeeded')
}

function subjectOf({ merchant_reference: reference }: LedgerEntry): string {
  return orderOf(reference)?.key ?? reference
}

/** One of each group of more than one, and the group's size. */
function duplicates<Row>(rows: readonly Row[], by: (row: Row) => string): [Row, number][] {
  return [...Map.groupBy(rows, by).values()].flatMap((group): [Row, number][] => {
    const [first] = group
    return group.length > 1 && first !== undefined ? [[first, group.length]] : []
  })
}
