/**
 * The state machine as data: which occurrence moves an order where, and what each answer of a participant makes the
 * driver do. The database's guard and functions are tested against it.
 */
import type { Order, OrderState, Verdict } from './order.ts'

/** What the driver may send. */
export type Command = 'reserve' | 'charge' | 'void' | 'refund' | 'release'

/** What moves an order. `no_verdict`: a pass ended, a charge went out, nothing definitive came back. */
export type Occurrence =
  | 'rejected'
  | 'no_verdict'
  | 'captured'
  | 'declined'
  | 'voided'
  | 'refunded'
  | 'released'

export interface Transition {
  readonly from: readonly OrderState[]
  readonly on: Occurrence
  /** Holds only so; both where absent. */
  readonly cancelRequested?: boolean
  /** Holds only for these stored verdicts; all where absent. */
  readonly after?: readonly Verdict[]
  readonly to: OrderState
  readonly verdict?: Verdict
  readonly reason?: string
  readonly event?: `order.${OrderState}`
}

const UNDECIDED = ['pending', 'payment_unknown'] as const

export const TRANSITIONS: readonly Transition[] = [
  {
    from: ['pending'],
    on: 'rejected',
    to: 'rejected',
    reason: 'out_of_stock',
    event: 'order.rejected',
  },
  { from: ['pending'], on: 'no_verdict', to: 'payment_unknown' },
  {
    from: UNDECIDED,
    on: 'captured',
    cancelRequested: false,
    to: 'confirmed',
    verdict: 'captured',
    event: 'order.confirmed',
  },
  { from: UNDECIDED, on: 'captured', cancelRequested: true, to: 'refunding', verdict: 'captured' },
  {
    from: UNDECIDED,
    on: 'declined',
    to: 'compensating',
    verdict: 'declined',
    reason: 'payment_declined',
  },
  {
    from: UNDECIDED,
    on: 'voided',
    cancelRequested: true,
    to: 'compensating',
    verdict: 'voided',
    reason: 'cancelled_by_client',
  },
  {
    from: UNDECIDED,
    on: 'voided',
    cancelRequested: false,
    to: 'compensating',
    verdict: 'voided',
    reason: 'timed_out',
  },
  {
    from: ['refunding'],
    on: 'refunded',
    to: 'compensating',
    verdict: 'refunded',
    reason: 'cancelled_by_client',
  },
  {
    from: ['compensating'],
    on: 'released',
    after: ['declined'],
    to: 'declined',
    event: 'order.declined',
  },
  {
    from: ['compensating'],
    on: 'released',
    after: ['voided', 'refunded'],
    to: 'cancelled',
    event: 'order.cancelled',
  },
]

/** The transition that `on` makes of this row, if any: an order in another state keeps what it has. */
export function transitionOf(
  order: Pick<Order, 'state' | 'verdict' | 'cancelRequested'>,
  on: Occurrence,
): Transition | undefined {
  return TRANSITIONS.find(
    (each) =>
      each.on === on &&
      each.from.includes(order.state) &&
      (each.cancelRequested ?? order.cancelRequested) === order.cancelRequested &&
      (each.after === undefined || each.after.includes(order.verdict)),
  )
}

/** What a participant said. */
export type Answer =
  | 'held'
  | 'committed'
  | 'rejected'
  | 'released'
  | 'captured'
  | 'declined'
  | 'voided'
  /** Captured, and somebody has asked for it back: a cancel of which this row may not know. */
  | 'given_back'
  | 'refunded'
  | 'refund_failed'
  /** Definitive, and not what the command can lead to. */
  | 'contradiction'
  /** Under way: the verdict comes. */
  | 'processing'
  /** Anything else: a timeout, a reset, 404, 429, 5xx, a body that is not the contract's. Never "no". */
  | 'unknown'

export type Reaction =
  | { readonly kind: 'send'; readonly command: Command }
  | { readonly kind: 'apply'; readonly on: Exclude<Occurrence, 'no_verdict'> }
  /** Set the cancel's flag, then apply `captured`: the refund follows. */
  | { readonly kind: 'cancel' }
  /** Come back in a second. */
  | { readonly kind: 'soon' }
  /** Come back after the backoff. */
  | { readonly kind: 'later' }
  /** Come back after the backoff; a person has to look. */
  | { readonly kind: 'alert' }

const send = (command: Command): Reaction => ({ kind: 'send', command })
const apply = (on: Exclude<Occurrence, 'no_verdict'>): Reaction => ({ kind: 'apply', on })
const later: Reaction = { kind: 'later' }
const soon: Reaction = { kind: 'soon' }

const VERDICTS = {
  captured: apply('captured'),
  declined: apply('declined'),
  voided: apply('voided'),
  // Only a cancel gives money back. A row that was restored has lost it, and would sell for nothing.
  given_back: { kind: 'cancel' },
} as const

/** A definitive answer that a command does not list contradicts the protocol. */
const REACTIONS: Readonly<Record<Command, Readonly<Partial<Record<Answer, Reaction>>>>> = {
  reserve: {
    held: send('charge'),
    committed: send('charge'),
    rejected: apply('rejected'),
    // Somebody gave the stock back: this order will not be confirmed, so no charge may follow.
    released: send('void'),
    unknown: later,
  },
  charge: { ...VERDICTS, processing: later, unknown: later },
  // A charge under way cannot be voided: the same processor key drives it to its verdict first.
  void: { ...VERDICTS, processing: soon, unknown: later },
  refund: { refunded: apply('refunded'), processing: soon, unknown: later },
  release: { released: apply('released'), rejected: apply('released'), unknown: later },
}

export function reactionTo(command: Command, answer: Answer): Reaction {
  return REACTIONS[command][answer] ?? { kind: 'alert' }
}
