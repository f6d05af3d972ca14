/** Mistakes that the protocol rules out, and the promise that each of them breaks first. */
import { STATE_CODES } from '../../src/domain/order.ts'
import type { Promised } from './invariants.ts'
import { type Driver, type Model, REAL_DRIVER } from './model.ts'
import type { Fault } from './participants.ts'
import type { Bounds } from './state.ts'

export interface Mutant {
  readonly breaks: Promised
  readonly fault?: Fault
  readonly driver?: Partial<Driver>
  /** Shows only after a restore. */
  readonly restored?: Bounds['restored']
}

/** Another reaction to a charge of which nothing definitive is known. */
function onUnknownCharge(reaction: ReturnType<Driver['reactionTo']>): Partial<Driver> {
  return {
    reactionTo: (command, answer) =>
      command === 'charge' && answer === 'unknown'
        ? reaction
        : REAL_DRIVER.reactionTo(command, answer),
  }
}

export const MUTANTS: Readonly<Record<string, Mutant>> = {
  'new-psp-key-on-retry': {
    breaks: 'I1 charged at most once',
    fault: 'new-psp-key-on-retry',
  },
  'release-on-payment-timeout': {
    breaks: 'released stock is not paid for',
    driver: onUnknownCharge({ kind: 'send', command: 'release' }),
  },
  'void-without-tombstone': {
    breaks: 'no charge after a void',
    fault: 'void-without-tombstone',
  },
  'release-without-tombstone': {
    breaks: 'I6 failed keeps nothing',
    fault: 'release-without-tombstone',
  },
  'autonomous-expiry': {
    breaks: 'released stock is not paid for',
    fault: 'autonomous-expiry',
  },
  'not-found-means-voided': {
    breaks: 'no charge after a void',
    fault: 'not-found-means-voided',
  },
  'status-means-not-charged': {
    breaks: 'released stock is not paid for',
    driver: onUnknownCharge({ kind: 'apply', on: 'declined' }),
  },
  'decline-on-psp-500': {
    breaks: 'released stock is not paid for',
    fault: 'decline-on-psp-500',
  },
  'void-a-processing-payment': {
    breaks: 'no charge after a void',
    fault: 'void-a-processing-payment',
  },
  'refund-new-key': {
    breaks: 'I1 charged at most once',
    fault: 'refund-new-key',
  },
  'release-before-refund': {
    breaks: 'released stock is not paid for',
    driver: {
      nextCommand: (row) => (row.state === 'refunding' ? 'release' : REAL_DRIVER.nextCommand(row)),
    },
  },
}

/** One for each promise that the protocol's own mutants break only after another. */
export const FURTHER_MUTANTS: Readonly<Record<string, Mutant>> = {
  'release-gives-back-twice': {
    breaks: 'I2 stock conserved',
    fault: 'release-gives-back-twice',
  },
  'charge-before-reserve': {
    breaks: 'I5 confirmed is paid and in stock',
    driver: {
      nextCommand: (row) => {
        const command = REAL_DRIVER.nextCommand(row)
        return command === 'reserve' ? 'charge' : command
      },
    },
  },
  'monotone-only-guard': {
    breaks: 'I7 never back, final immutable',
    driver: {
      transitionOf: (row, on) =>
        REAL_DRIVER.transitionOf(row, on) ??
        (STATE_CODES[row.state] < STATE_CODES.confirmed && on === 'captured'
          ? REAL_DRIVER.transitionOf({ ...row, state: 'pending', cancelRequested: false }, on)
          : undefined),
    },
  },
  'confirm-what-was-given-back': {
    breaks: 'I5 confirmed is paid and in stock',
    restored: 'for_client',
    driver: {
      reactionTo: (command, answer) =>
        answer === 'given_back'
          ? { kind: 'apply', on: 'captured' }
          : REAL_DRIVER.reactionTo(command, answer),
    },
  },
  'settle-without-confirmation': {
    breaks: 'participants never contradict the protocol',
    fault: 'settle-without-confirmation',
  },
  'rejected-is-no-release': {
    breaks: 'every state can end well',
    driver: {
      reactionTo: (command, answer) =>
        command === 'release' && answer === 'rejected'
          ? { kind: 'later' }
          : REAL_DRIVER.reactionTo(command, answer),
    },
  },
}

/** The real model, less what the mutant gets wrong. */
export function modelOf(bounds: Bounds, { fault, driver }: Omit<Mutant, 'breaks'>): Model {
  return {
    bounds,
    driver: { ...REAL_DRIVER, ...driver },
    faults: new Set(fault === undefined ? [] : [fault]),
  }
}
