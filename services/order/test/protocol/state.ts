/** What one order is, wherever a part of it is stored, and what is under way between the stores. */
import type { Order, OrderState, Verdict } from '../../src/domain/order.ts'
import type { Command, Occurrence } from '../../src/domain/transitions.ts'

export const COMMANDS = ['reserve', 'charge', 'void', 'refund', 'release'] as const

export type PaymentState = 'none' | 'processing' | 'captured' | 'declined' | 'voided'
export type RefundState = 'none' | 'processing' | 'done' | 'failed'
export type ReservationState = 'none' | 'held' | 'committed' | 'released' | 'rejected'

/** What the processor knows under one of its keys; `sent` may reach it at any time, or never. */
export type ChargeAtProcessor = 'unsent' | 'sent' | 'captured' | 'declined'
export type RefundAtProcessor = 'unsent' | 'sent' | 'done' | 'failed'

/** One run of the driver. Objects are interned by `passOf`: equal passes are identical. */
export interface Pass {
  readonly id: number
  readonly step: 'idle' | 'waiting' | 'applying' | 'deferring' | 'alerted'
  /** What `waiting` waits for. */
  readonly command?: Command
  /** What `applying` is about to write. */
  readonly on?: Exclude<Occurrence, 'no_verdict'>
  readonly sent: ReadonlySet<Command>
}

/** Amounts are whole payments, stock is whole reservations: 1 is the order's. */
export interface State {
  readonly order: OrderState
  readonly verdict: Verdict
  readonly cancelRequested: boolean
  readonly due: boolean
  readonly payment: PaymentState
  /** By number: the driver's first, the operator's second. */
  readonly refunds: readonly [RefundState, RefundState]
  readonly reservation: ReservationState
  readonly reserved: number
  readonly sold: number
  /** By key: c1, and one that no correct payment-service sends. */
  readonly charges: readonly [ChargeAtProcessor, ChargeAtProcessor]
  /** By key: r1, r2, and one that no correct payment-service sends. */
  readonly paybacks: readonly [RefundAtProcessor, RefundAtProcessor, RefundAtProcessor]
  /** Copies on the way, by the order of COMMANDS. */
  readonly copies: readonly number[]
  readonly passes: readonly Pass[]
  readonly crashes: number
  /** A restore has lost the row; another took its place. */
  readonly lost: boolean
}

export interface Bounds {
  readonly drivers: number
  /** Deliveries of a message that was sent; `Infinity`: for ever. */
  readonly copies: number
  /** `Infinity`: any number. */
  readonly crashes: number
  /**
   * Order-service may be restored, once, to a time before it knew the order. Who names it next: inventory, for a
   * reservation that expires, or the client, who sends it again.
   */
  readonly restored?: 'for_inventory' | 'for_client'
}

const passes = new Map<string, Pass>()

export function passOf({ step, command, on, sent }: Omit<Pass, 'id'>): Pass {
  const name = [step, command, on, ...COMMANDS.filter((each) => sent.has(each))].join(' ')
  const known = passes.get(name)
  if (known !== undefined) return known
  const pass: Pass = {
    id: passes.size,
    step,
    ...(command === undefined ? {} : { command }),
    ...(on === undefined ? {} : { on }),
    sent,
  }
  passes.set(name, pass)
  return pass
}

export const IDLE = passOf({ step: 'idle', sent: new Set() })

/** T1 is committed: before it nobody knows of the order. */
export function accepted({ drivers }: Bounds): State {
  return {
    order: 'pending',
    verdict: 'none',
    cancelRequested: false,
    due: false,
    payment: 'none',
    refunds: ['none', 'none'],
    reservation: 'none',
    reserved: 0,
    sold: 0,
    charges: ['unsent', 'unsent'],
    paybacks: ['unsent', 'unsent', 'unsent'],
    copies: COMMANDS.map(() => 0),
    passes: Array.from({ length: drivers }, () => IDLE),
    crashes: 0,
    lost: false,
  }
}

/** Drivers are alike: which of them does what makes no other state. */
export function keyOf(state: State): string {
  const ids = state.passes.map(({ id }) => id).sort((a, b) => a - b)
  return `${state.order} ${state.verdict} ${state.cancelRequested} ${state.due} ${state.payment} ${state.refunds} ${state.reservation} ${state.reserved} ${state.sold} ${state.charges} ${state.paybacks} ${state.copies} ${ids} ${state.crashes} ${state.lost}`
}

export function isUndecided({ order }: Pick<State, 'order'>): boolean {
  return order === 'pending' || order === 'payment_unknown'
}

export function rowOf(state: State): Pick<Order, 'state' | 'verdict' | 'cancelRequested' | 'due'> {
  const { order, verdict, cancelRequested, due } = state
  return { state: order, verdict, cancelRequested, due }
}

export function copiesOf(state: State, command: Command): number {
  return state.copies[COMMANDS.indexOf(command)] ?? 0
}
