/** I9, as far as rows can show it: nothing of one tenant stands under another's name. */
import type { Evidence, Finding, Key, LedgerEntry } from './evidence.ts'
import { orderOf, referenceOf } from './psp-key.ts'
import { participants } from './snapshot.ts'

export function strayRows(evidence: Evidence): Finding[] {
  return [
    ...evidence.snapshot.visibility.findings,
    ...orphans(evidence),
    ...foreignKeys(evidence),
    ...foreignEntries(evidence),
  ]
}

/** Participants come after their order and orders stay: what has no order now never had one of its tenant. */
function orphans({ snapshot, late }: Evidence): Finding[] {
  const { orders, payments, accounts, announcements } = snapshot
  const strangers = participants(snapshot)
    .filter((key) => !orders.has(key) && !late.orders.has(key))
    .map((key) => ({ subject: key, why: 'payment or reservation of an order this tenant has not' }))
  const events = announcements
    .filter(({ key }) => !orders.has(key))
    .map(({ key }) => ({ subject: key, why: 'event of an order this tenant has not' }))
  const entries = accounts
    .filter(({ key }) => !payments.has(key))
    .map(({ key }) => ({ subject: key, why: 'ledger entry of a payment this tenant has not' }))
  return [...strangers, ...events, ...entries]
}

function foreignKeys({ snapshot }: Evidence): Finding[] {
  const keys: [Key, string | null][] = [
    ...[...snapshot.payments].map(([key, { pspKey }]): [Key, string | null] => [key, pspKey]),
    ...snapshot.refunds.map(({ key, pspKey }): [Key, string] => [key, pspKey]),
  ]
  return keys
    .filter(([key, pspKey]) => pspKey !== null && orderOf(referenceOf(pspKey))?.key !== key)
    .map(([key, pspKey]) => ({ subject: key, why: `sent to the processor as ${pspKey}` }))
}

function foreignEntries({ snapshot, ledger }: Evidence): Finding[] {
  if (ledger === undefined) return []
  const mixed = [...ledger.charges, ...ledger.refunds].flatMap((entry) => {
    const { merchant_reference: reference, idempotency_key: pspKey } = entry
    const [named, keyed] = [orderOf(reference), orderOf(referenceOf(pspKey))]
    const same = named?.key === keyed?.key
    return same
      ? []
      : [{ subject: named?.key ?? keyed?.key ?? '', why: `${pspKey} booked under ${reference}` }]
  })
  const charges = byId(ledger.charges)
  const refunds = byId(ledger.refunds)
  const linked = [
    ...[...snapshot.payments].map(([key, { pspRef }]) => ({ key, entry: find(charges, pspRef) })),
    ...snapshot.refunds.map(({ key, pspRef }) => ({ key, entry: find(refunds, pspRef) })),
  ].flatMap(({ key, entry }) => {
    if (entry === undefined || orderOf(entry.merchant_reference)?.key === key) return []
    return [{ subject: key, why: `points at ${entry.id} of ${entry.merchant_reference}` }]
  })
  return [...mixed, ...linked]
}

function byId(entries: readonly LedgerEntry[]): ReadonlyMap<string, LedgerEntry> {
  return new Map(entries.map((entry) => [entry.id, entry]))
}

function find(
  entries: ReadonlyMap<string, LedgerEntry>,
  id: string | null,
): LedgerEntry | undefined {
  return id === null ? undefined : entries.get(id)
}
