/** The promises of the protocol about one order, checked in every state and at every step. */
import { isFinal, STATE_CODES } from '../../src/domain/order.ts'
import { TRANSITIONS } from '../../src/domain/transitions.ts'
import type { State } from './state.ts'

export type Promised =
  | 'I1 charged at most once'
  | 'I2 stock conserved'
  | 'I5 confirmed is paid and in stock'
  | 'I6 failed keeps nothing'
  | 'I7 never back, final immutable'
  | 'released stock is not paid for'
  | 'no charge after a void'
  | 'participants never contradict the protocol'
  | 'every state can end well'

/** Captures less refunds, by the processor's own ledger. */
function moneyKept({ charges, paybacks }: State): number {
  return count(charges, 'captured') - count(paybacks, 'done')
}

function count<T>(values: readonly T[], value: T): number {
  return values.filter((each) => each === value).length
}

function hasFailed({ order }: State): boolean {
  return isFinal({ state: order }) && order !== 'confirmed'
}

const BROKEN: readonly (readonly [Promised, (state: State) => boolean])[] = [
  [
    'I1 charged at most once',
    (state) =>
      count(state.charges, 'captured') > 1 ||
      moneyKept(state) < 0 ||
      count(state.refunds, 'processing') + count(state.refunds, 'done') > 1,
  ],
  [
    'I2 stock conserved',
    ({ reservation, reserved, sold }) =>
      reserved !== Number(reservation === 'held') || sold !== Number(reservation === 'committed'),
  ],
  [
    'I5 confirmed is paid and in stock',
    (state) =>
      state.order === 'confirmed' &&
      (state.payment !== 'captured' ||
        moneyKept(state) !== 1 ||
        !['held', 'committed'].includes(state.reservation)),
  ],
  [
    'I6 failed keeps nothing',
    (state) =>
      hasFailed(state) &&
      (state.payment === 'processing' ||
        (state.payment === 'captured' && !state.refunds.includes('done')) ||
        moneyKept(state) !== 0 ||
        ['held', 'committed'].includes(state.reservation)),
  ],
  [
    'released stock is not paid for',
    (state) => state.reservation === 'released' && moneyKept(state) !== 0,
  ],
  [
    'no charge after a void',
    (state) =>
      (state.verdict === 'voided' || state.payment === 'voided') &&
      (state.payment === 'processing' ||
        state.payment === 'captured' ||
        state.charges.includes('captured')),
  ],
  [
    'participants never contradict the protocol',
    ({ passes }) => passes.some(({ step }) => step === 'alerted'),
  ],
]

export function brokenIn(state: State): Promised | undefined {
  return BROKEN.find(([, broken]) => broken(state))?.[0]
}

const LISTED = new Set(TRANSITIONS.flatMap(({ from, to }) => from.map((each) => `${each} ${to}`)))

/** I7, of one step. */
export function brokenBy(from: State, to: State): Promised | undefined {
  // Another row.
  if (from.lost !== to.lost) return undefined
  const moved = from.order !== to.order
  const kept = !from.cancelRequested || to.cancelRequested
  const final = STATE_CODES[from.order] >= 100
  const changed =
    moved || from.verdict !== to.verdict || from.cancelRequested !== to.cancelRequested
  return kept && (!moved || LISTED.has(`${from.order} ${to.order}`)) && !(final && changed)
    ? undefined
    : 'I7 never back, final immutable'
}

/** Nothing is left to do, and money and stock agree with the order. */
export function isGoodEnd(state: State): boolean {
  if (!isFinal({ state: state.order }) || state.payment === 'processing') return false
  if (state.refunds.includes('processing')) return false
  return state.order === 'confirmed'
    ? state.reservation === 'committed' && moneyKept(state) === 1
    : ['released', 'rejected'].includes(state.reservation) && moneyKept(state) === 0
}
