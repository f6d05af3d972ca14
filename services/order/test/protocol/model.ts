/**
 * One order as a graph: every order in which drivers, messages, crashes, the client and time can act on it. The driver
 * and the table are the real ones; a mutant hands in others.
 */
import { isFinal, nextCommand } from '../../src/domain/order.ts'
import {
  type Answer,
  type Command,
  reactionTo,
  transitionOf,
} from '../../src/domain/transitions.ts'
import { deliver, type Fault, ownSteps, type Step, statusOf } from './participants.ts'
import {
  type Bounds,
  COMMANDS,
  copiesOf,
  IDLE,
  isUndecided,
  type Pass,
  passOf,
  rowOf,
  type State,
} from './state.ts'

export interface Driver {
  readonly nextCommand: typeof nextCommand
  readonly reactionTo: typeof reactionTo
  readonly transitionOf: typeof transitionOf
}

export interface Model {
  readonly bounds: Bounds
  readonly driver: Driver
  readonly faults: ReadonlySet<Fault>
}

export const REAL_DRIVER: Driver = { nextCommand, reactionTo, transitionOf }

/** Steps of the client and of faults: no order may need them to end. */
export const CANCEL = 'the client cancels'
export const CRASH = 'a pass vanishes'
export const RESTORE = 'an expiry asks for an order that a restore has lost'
export const SENT_AGAIN = 'the client sends again an order that a restore has lost'

export function* successors(state: State, model: Model): Generator<Step> {
  if (isUndecided(state)) {
    if (!state.due) yield ['time passes decide_at', { ...state, due: true }]
    if (!state.cancelRequested) yield [CANCEL, { ...state, cancelRequested: true }]
  }
  if (!state.lost) yield* restores(state, model.bounds)
  yield* ownSteps(state, model.faults)
  for (const command of COMMANDS)
    if (copiesOf(state, command) > 0) yield* deliveries(state, command, model)
  for (const [index, pass] of state.passes.entries()) {
    // Two equal passes lead to the same states.
    if (state.passes.indexOf(pass) === index) yield* passSteps(state, index, pass, model)
  }
}

/** The row is gone; a tombstone takes its place, or the order anew. */
function* restores(state: State, { restored }: Bounds): Generator<Step> {
  const row = { ...state, order: 'pending', verdict: 'none', lost: true } as const
  if (restored === 'for_inventory' && state.reservation === 'held')
    yield [RESTORE, { ...row, cancelRequested: true, due: true }]
  // Sold stock cannot be taken back: a confirmed order that is lost, sent again and cancelled calls for a person.
  if (restored === 'for_client' && state.order !== 'confirmed')
    yield [
      SENT_AGAIN,
      {
        ...row,
        cancelRequested: false,
        due: false,
        // A restore outlasts what the lost process had on the way.
        copies: state.copies.map(() => 0),
        passes: state.passes.map(() => IDLE),
      },
    ]
}

/** A copy arrives; its answer reaches nobody, or a pass that waits for it. */
function* deliveries(state: State, command: Command, model: Model): Generator<Step> {
  const left = withCopies(state, command, copiesOf(state, command) - 1)
  for (const { state: delivered, answer } of deliver(command, left, model.faults)) {
    yield [`${command} arrives, its answer is lost`, delivered]
    for (const [index, pass] of delivered.passes.entries())
      if (pass.command === command && delivered.passes.indexOf(pass) === index)
        yield [
          `${command} is answered: ${answer}`,
          answered(delivered, index, pass, command, answer, model),
        ]
  }
}

function* passSteps(state: State, index: number, pass: Pass, model: Model): Generator<Step> {
  if (pass.step !== 'idle' && state.crashes < model.bounds.crashes) {
    const crashes = model.bounds.crashes === Infinity ? 0 : state.crashes + 1
    yield [CRASH, { ...withPass(state, index, IDLE), crashes }]
  }
  switch (pass.step) {
    case 'idle':
      // Leases save work only: a pass may start beside another at any time.
      if (!isFinal({ state: state.order }))
        yield ['a pass starts', goOn(state, index, new Set(), model)]
      return
    case 'waiting': {
      const { command } = pass
      if (command === undefined) return
      yield [
        `${command} stays without an answer`,
        answered(state, index, pass, command, 'unknown', model),
      ]
      if (command === 'charge') {
        const status = statusOf(state, model.faults)
        yield [
          `the payment's status is read: ${status}`,
          answered(state, index, pass, command, status, model),
        ]
      }
      return
    }
    case 'applying': {
      const { on } = pass
      if (on !== undefined)
        yield [`${on} is applied`, goOn(applied(state, on, model), index, pass.sent, model)]
      return
    }
    case 'deferring':
      yield [
        'a pass without a verdict ends',
        withPass(applied(state, 'no_verdict', model), index, IDLE),
      ]
      return
    case 'alerted':
      yield ['a person is called', ended(state, index, pass.sent)]
  }
}

/** As the driver's loop: what a pass does with an answer. */
function answered(
  state: State,
  index: number,
  { sent }: Pass,
  command: Command,
  answer: Answer,
  { driver, bounds }: Model,
): State {
  const reaction = driver.reactionTo(command, answer)
  switch (reaction.kind) {
    case 'send':
      return sent.has(reaction.command)
        ? ended(state, index, sent)
        : sending(state, index, sent, reaction.command, bounds)
    case 'apply':
      return withPass(state, index, passOf({ step: 'applying', on: reaction.on, sent }))
    case 'cancel': {
      const flagged = isUndecided(state) ? { ...state, cancelRequested: true } : state
      return withPass(flagged, index, passOf({ step: 'applying', on: 'captured', sent }))
    }
    case 'alert':
      // A refund that the processor refuses is a person's work, not a contradiction.
      return answer === 'refund_failed'
        ? ended(state, index, sent)
        : withPass(state, index, passOf({ step: 'alerted', sent }))
    case 'later':
    case 'soon':
      return ended(state, index, sent)
  }
}

/** The pass has the row as it stands and sends what follows, each command once. */
function goOn(
  state: State,
  index: number,
  sent: ReadonlySet<Command>,
  { driver, bounds }: Model,
): State {
  const command = driver.nextCommand(rowOf(state))
  if (command !== undefined && !sent.has(command))
    return sending(state, index, sent, command, bounds)
  return isFinal({ state: state.order }) ? withPass(state, index, IDLE) : ended(state, index, sent)
}

function sending(
  state: State,
  index: number,
  sent: ReadonlySet<Command>,
  command: Command,
  { copies }: Bounds,
): State {
  const pass = passOf({ step: 'waiting', command, sent: new Set([...sent, command]) })
  return withPass(withCopies(state, command, copies), index, pass)
}

/** Only a pass that sent a charge writes more than the time of the next one. */
function ended(state: State, index: number, sent: ReadonlySet<Command>): State {
  const pass = sent.has('charge') ? passOf({ step: 'deferring', sent: new Set() }) : IDLE
  return withPass(state, index, pass)
}

/** One guarded UPDATE: a row in another state stays as it is. */
function applied(state: State, on: Parameters<typeof transitionOf>[1], { driver }: Model): State {
  const transition = driver.transitionOf(rowOf(state), on)
  if (transition === undefined) return state
  const moved = {
    ...state,
    order: transition.to,
    verdict: transition.verdict ?? state.verdict,
  }
  // Nothing asks whether a decided order is due.
  return isUndecided(moved) ? moved : { ...moved, due: false }
}

function withPass(state: State, index: number, pass: Pass): State {
  return { ...state, passes: state.passes.with(index, pass) }
}

function withCopies(state: State, command: Command, copies: number): State {
  return copies === copiesOf(state, command)
    ? state
    : { ...state, copies: state.copies.with(COMMANDS.indexOf(command), copies) }
}
