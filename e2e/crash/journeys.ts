/** What the world outside does with one order, up to where the services must bring it to its end by themselves. */
import type { Service } from '../system/system.ts'

/** About one order. An answer that does not come is no matter: that is what the process died for. */
export interface Steps {
  place(): Promise<void>
  cancel(): Promise<void>
  /** Stock held for an order that order-service does not know: what a restore of its database leaves. */
  reserveUnknown(): Promise<void>
  /** The hold of 15 minutes is over, or it is time for the next question. */
  expire(): Promise<void>
  /** No sweep takes the order up before the caller comes again, however slowly the machine gets that far. */
  rest(): Promise<void>
  /** The service is not there until `heal`. */
  away(service: Service): Promise<void>
  /** The dead are back; who is away stays away. */
  revive(): Promise<void>
  /** Whatever is dead or away is back. */
  heal(): Promise<void>
}

export type OrderEnd = 'confirmed' | 'declined' | 'cancelled'

export interface Journey {
  readonly end: OrderEnd
  /** Of the card; without one the caller does not place the order. */
  readonly token?: string
  /** A process dies here on the way. */
  readonly dies?: string
  run(steps: Steps): Promise<void>
}

export type JourneyName =
  | 'place'
  | 'decline'
  | 'outage'
  | 'cancelWaiting'
  | 'cancel'
  | 'refund'
  | 'openCharge'
  | 'restore'

const APPROVE = 'pm_approve0001'

export const JOURNEYS: Readonly<Record<JourneyName, Journey>> = {
  place: { end: 'confirmed', token: APPROVE, run: ({ place }) => place() },

  decline: { end: 'declined', token: 'pm_decline0001', run: ({ place }) => place() },

  /** Payment is away until the order has been deferred and taken up again. */
  outage: {
    end: 'confirmed',
    token: APPROVE,
    async run({ away, place }) {
      await away('payment')
      await place()
    },
  },

  /** Payment is away, so the order waits for it when the cancel comes. */
  cancelWaiting: {
    end: 'cancelled',
    token: APPROVE,
    async run({ away, place, revive, cancel }) {
      await away('payment')
      await place()
      await revive()
      await cancel()
    },
  },

  /** Nobody has asked for the money yet: the void finds nothing and leaves a tombstone. */
  cancel: {
    end: 'cancelled',
    token: APPROVE,
    dies: 'order.reserve.answered',
    async run({ place, rest, heal, cancel }) {
      await place()
      await rest()
      await heal()
      await cancel()
    },
  },

  /** The void finds the money captured. */
  refund: {
    end: 'cancelled',
    token: APPROVE,
    dies: 'order.charge.answered',
    async run({ place, rest, heal, cancel }) {
      await place()
      await rest()
      await heal()
      await cancel()
    },
  },

  /** Order is away, so nobody asks for the charge again: payment's own sweep finds it. */
  openCharge: {
    end: 'confirmed',
    token: APPROVE,
    dies: 'payment.psp.sent',
    async run({ place, away }) {
      await place()
      await away('order')
    },
  },

  /** Payment is away: without its void the tombstone rests, and the stock stays held until the question is answered. */
  restore: {
    end: 'cancelled',
    async run({ away, reserveUnknown, expire }) {
      await away('payment')
      await reserveUnknown()
      await expire()
    },
  },
}
