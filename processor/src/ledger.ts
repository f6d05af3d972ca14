/**
 * Charges and refunds, durable: an object can be read once it is on disk, never before. Keeps no token, only the
 * rule it stood for.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { type JournalOptions, openJournal } from './journal.ts'
import type { Charge, Refund } from './wire.ts'

type Entry =
  | { readonly type: 'charge'; readonly fingerprint: string; readonly rule: string; object: Charge }
  | { readonly type: 'refund'; readonly fingerprint: string; object: Refund }
  | { readonly type: 'error'; readonly idempotency_key: string }

/** The request's fingerprint and what it made. */
interface Stored {
  readonly fingerprint: string
  readonly object: Charge | Refund
}

type Made = 'id' | 'object' | 'created'

/** Objects of one kind, oldest first. */
export interface Shelf<T> {
  get(id: string): T | undefined
  byReference(reference: string): readonly T[]
  /** At most `limit` objects behind the object `after`; undefined if there is no such object. */
  page(limit: number, after?: string): Page<T> | undefined
}

export interface Page<T> {
  readonly data: readonly T[]
  readonly has_more: boolean
}

export interface Ledger {
  readonly charges: Shelf<Charge>
  readonly refunds: Shelf<Refund>
  readonly tornBytes: number
  byKey(key: string): Stored | undefined
  /** Prefix of the rule that a charge was made under. */
  ruleOf(charge: Charge): string | undefined
  /** Minor units that may still be refunded, refunds under way taken off. */
  refundable(charge: Charge): number
  addCharge(
    charge: Omit<Charge, Made>,
    about: { readonly fingerprint: string; readonly rule: string },
  ): Promise<Charge>
  /** A succeeded refund counts against `refundable` from the call on. */
  addRefund(refund: Omit<Refund, Made>, about: { readonly fingerprint: string }): Promise<Refund>
  /** Remembers that the key's first request was answered with an error. */
  addError(key: string): Promise<void>
  hadError(key: string): boolean
  /** Set once a write has failed: nothing more is taken until a restart. */
  failure(): Error | undefined
  close(): Promise<void>
}

export interface LedgerOptions extends Pick<JournalOptions<Entry>, 'pid' | 'isRunning'> {
  readonly dataDir: string
  readonly seed: string
}

/** @throws StartError see `openJournal`. */
export async function openLedger({
  dataDir,
  seed,
  pid,
  isRunning,
}: LedgerOptions): Promise<Ledger> {
  const charges = createShelf<Charge>()
  const refunds = createShelf<Refund>()
  const stored = new Map<string, Stored>()
  const rules = new Map<string, string>()
  const errors = new Set<string>()
  const refunded = createSums()
  const refunding = createSums()

  function apply(entry: Entry): void {
    switch (entry.type) {
      case 'charge':
        charges.add(entry.object)
        rules.set(entry.object.id, entry.rule)
        stored.set(entry.object.idempotency_key, entry)
        break
      case 'refund':
        refunds.add(entry.object)
        if (entry.object.status === 'succeeded')
          refunded.add(entry.object.charge, entry.object.amount)
        stored.set(entry.object.idempotency_key, entry)
        break
      case 'error':
        errors.add(entry.idempotency_key)
        break
    }
  }

  const path = join(dataDir, 'ledger.jsonl')
  const journal = await openJournal<Entry>({ path, apply, pid, isRunning })

  function newId(prefix: 'ch' | 're'): string {
    const name = `${seed}:${journal.nextNumber()}`
    return `${prefix}_${createHash('sha256').update(name).digest('hex').slice(0, 24)}`
  }

  const addCharge: Ledger['addCharge'] = async (charge, { fingerprint, rule }) => {
    const object: Charge = { id: newId('ch'), object: 'charge', ...charge, created: now() }
    await journal.append({ type: 'charge', fingerprint, rule, object })
    return object
  }

  const addRefund: Ledger['addRefund'] = async (refund, { fingerprint }) => {
    const object: Refund = { id: newId('re'), object: 'refund', ...refund, created: now() }
    const held = object.status === 'succeeded' ? object.amount : 0
    refunding.add(object.charge, held)
    try {
      await journal.append({ type: 'refund', fingerprint, object })
    } finally {
      refunding.add(object.charge, -held)
    }
    return object
  }

  return {
    charges,
    refunds,
    tornBytes: journal.tornBytes,
    byKey: (key) => stored.get(key),
    ruleOf: ({ id }) => rules.get(id),
    refundable: ({ id, amount }) => amount - refunded.of(id) - refunding.of(id),
    addCharge,
    addRefund,
    addError: (key) => journal.append({ type: 'error', idempotency_key: key }),
    hadError: (key) => errors.has(key),
    failure: journal.failure,
    close: journal.close,
  }
}

function createShelf<T extends Charge | Refund>(): Shelf<T> & { add(object: T): void } {
  const all: T[] = []
  const positions = new Map<string, number>()
  const references = new Map<string, T[]>()

  function add(object: T): void {
    positions.set(object.id, all.push(object) - 1)
    const sameReference = references.get(object.merchant_reference)
    if (sameReference === undefined) references.set(object.merchant_reference, [object])
    else sameReference.push(object)
  }

  function get(id: string): T | undefined {
    const position = positions.get(id)
    return position === undefined ? undefined : all[position]
  }

  function page(limit: number, after?: string): Page<T> | undefined {
    const position = after === undefined ? -1 : positions.get(after)
    if (position === undefined) return undefined
    const start = position + 1
    return { data: all.slice(start, start + limit), has_more: all.length > start + limit }
  }

  return { add, get, page, byReference: (reference) => references.get(reference) ?? [] }
}

function createSums(): { add(id: string, amount: number): void; of(id: string): number } {
  const sums = new Map<string, number>()
  const of = (id: string): number => sums.get(id) ?? 0
  return { of, add: (id, amount) => void sums.set(id, of(id) + amount) }
}

function now(): string {
  return new Date().toISOString()
}
