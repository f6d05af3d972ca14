/**
 * Payment, the card processor and inventory, as their SQL functions leave their rows. Each delivery is one commit;
 * who else is on the way does not matter to it.
 */
import { STATE_CODES } from '../../src/domain/order.ts'
import type { Answer, Command } from '../../src/domain/transitions.ts'
import type { RefundState, State } from './state.ts'

/** Ways in which a participant can be wrong. */
export type Fault =
  | 'new-psp-key-on-retry'
  | 'void-without-tombstone'
  | 'release-without-tombstone'
  | 'autonomous-expiry'
  | 'not-found-means-voided'
  | 'decline-on-psp-500'
  | 'void-a-processing-payment'
  | 'refund-new-key'
  | 'release-gives-back-twice'
  | 'settle-without-confirmation'

export interface Delivered {
  readonly state: State
  readonly answer: Answer
}

/** What came of a message; several where the participant's other business decides. */
export function deliver(
  command: Command,
  state: State,
  faults: ReadonlySet<Fault>,
): readonly Delivered[] {
  switch (command) {
    case 'reserve':
      return reserve(state)
    case 'charge':
      return [charge(state)]
    case 'void':
      return [voidPayment(state, faults)]
    case 'refund':
      return [refund(state)]
    case 'release':
      return [release(state, faults)]
  }
}

function reserve(state: State): readonly Delivered[] {
  if (state.reservation !== 'none') return [{ state, answer: state.reservation }]
  return [
    { state: { ...state, reservation: 'held', reserved: state.reserved + 1 }, answer: 'held' },
    { state: { ...state, reservation: 'rejected' }, answer: 'rejected' },
  ]
}

/** What a payment that exists says of itself. */
function standing({ payment, refunds }: State): Answer {
  if (payment === 'captured' && refunds[0] !== 'none') return 'given_back'
  return payment === 'none' ? 'unknown' : payment
}

function charge(state: State): Delivered {
  if (state.payment !== 'none') return { state, answer: standing(state) }
  const [, other] = state.charges
  return {
    state: { ...state, payment: 'processing', charges: ['sent', other] },
    answer: 'processing',
  }
}

function voidPayment(state: State, faults: ReadonlySet<Fault>): Delivered {
  const voided = { state: { ...state, payment: 'voided' }, answer: 'voided' } as const
  if (state.payment === 'none')
    return faults.has('void-without-tombstone') ? { state, answer: 'voided' } : voided
  if (state.payment === 'processing' && faults.has('void-a-processing-payment')) return voided
  return { state, answer: standing(state) }
}

const REFUND_ANSWERS: Readonly<Record<RefundState, Answer>> = {
  none: 'unknown',
  processing: 'processing',
  done: 'refunded',
  failed: 'refund_failed',
}

function refund(state: State): Delivered {
  if (state.payment === 'none') return { state, answer: 'unknown' }
  if (state.payment !== 'captured') return { state, answer: 'contradiction' }
  const [first, second] = state.refunds
  if (first === 'none') return { state: startRefund(state, 0), answer: 'processing' }
  return { state, answer: REFUND_ANSWERS[second === 'none' ? first : second] }
}

function startRefund(state: State, number: 0 | 1): State {
  return {
    ...state,
    refunds: replaced(state.refunds, number, 'processing'),
    paybacks: replaced(state.paybacks, number, 'sent'),
  }
}

function release(state: State, faults: ReadonlySet<Fault>): Delivered {
  switch (state.reservation) {
    case 'none':
      return faults.has('release-without-tombstone')
        ? { state, answer: 'released' }
        : { state: { ...state, reservation: 'released' }, answer: 'released' }
    case 'held':
      return { state: giveBack(state), answer: 'released' }
    case 'committed':
      return { state, answer: 'contradiction' }
    case 'released':
      return {
        state: faults.has('release-gives-back-twice') ? giveBack(state) : state,
        answer: 'released',
      }
    case 'rejected':
      return { state, answer: 'rejected' }
  }
}

function giveBack(state: State): State {
  return { ...state, reservation: 'released', reserved: state.reserved - 1 }
}

function settle(state: State): State {
  return {
    ...state,
    reservation: 'committed',
    reserved: state.reserved - 1,
    sold: state.sold + 1,
  }
}

/** What GET says of the payment while a charge waits for its verdict; 404 is no verdict. */
export function statusOf(state: State, faults: ReadonlySet<Fault>): Answer {
  const notFound = state.payment === 'none'
  return notFound && faults.has('not-found-means-voided') ? 'voided' : standing(state)
}

export type Step = readonly [label: string, state: State]

/** What happens without any driver: handlers, sweepers, the relay, the processor, an operator. */
export function* ownSteps(state: State, faults: ReadonlySet<Fault>): Generator<Step> {
  yield* processorSteps(state)
  yield* paymentSteps(state, faults)
  if (state.reservation !== 'held') return
  // One order: the relay's settle and an expired reservation's question meet the same, final, state.
  if (state.order === 'confirmed' || faults.has('settle-without-confirmation'))
    yield ['the relay, or an expiry told to commit, settles', settle(state)]
  else if (STATE_CODES[state.order] >= 100)
    yield ['an expiry told to release gives back', giveBack(state)]
  if (faults.has('autonomous-expiry')) yield ['an expiry that asks nobody', giveBack(state)]
}

/** Under a key the first execution decides; repetitions get the stored result, or nothing. */
function* processorSteps(state: State): Generator<Step> {
  for (const [key, charged] of state.charges.entries())
    if (charged === 'sent')
      for (const result of ['captured', 'declined'] as const)
        yield [
          `the processor has ${result} c${key + 1}`,
          { ...state, charges: replaced(state.charges, key, result) },
        ]
  for (const [key, payback] of state.paybacks.entries())
    if (payback === 'sent') {
      yield [
        `the processor has refunded r${key + 1}`,
        { ...state, paybacks: replaced(state.paybacks, key, 'done') },
      ]
      // The operator's number succeeds: the model ends there, operators do not.
      if (key === 0)
        yield [
          'the processor has refused r1',
          { ...state, paybacks: replaced(state.paybacks, key, 'failed') },
        ]
    }
}

function* paymentSteps(state: State, faults: ReadonlySet<Fault>): Generator<Step> {
  if (state.payment === 'processing') {
    for (const verdict of ['captured', 'declined'] as const)
      if (state.charges.includes(verdict))
        yield [`payment learns ${verdict}`, { ...state, payment: verdict }]
    if (faults.has('decline-on-psp-500'))
      yield ['payment takes a 500 for a decline', { ...state, payment: 'declined' }]
    if (faults.has('new-psp-key-on-retry') && state.charges[1] === 'unsent')
      yield [
        'payment repeats its charge under a new key',
        { ...state, charges: replaced(state.charges, 1, 'sent') },
      ]
  }
  for (const [number, stored] of state.refunds.entries())
    if (stored === 'processing')
      for (const result of ['done', 'failed'] as const)
        if (state.paybacks[number] === result || (number === 0 && state.paybacks[2] === result))
          yield [
            `payment learns refund ${number + 1} ${result}`,
            { ...state, refunds: replaced(state.refunds, number, result) },
          ]
  if (
    faults.has('refund-new-key') &&
    state.refunds[0] === 'processing' &&
    state.paybacks[2] === 'unsent'
  )
    yield [
      'payment repeats its refund under a new key',
      { ...state, paybacks: replaced(state.paybacks, 2, 'sent') },
    ]
  if (state.refunds[0] === 'failed' && state.refunds[1] === 'none')
    yield ['an operator retries the refund', startRefund(state, 1)]
}

function replaced<Values extends readonly unknown[]>(
  values: Values,
  index: number,
  value: Values[number],
): Values {
  return values.with(index, value) as readonly unknown[] as Values
}
