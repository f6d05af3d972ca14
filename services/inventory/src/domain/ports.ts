/** What the domain needs from outside. */
import type { Line, Reservation, StockLevel } from './reservation.ts'

export interface OrderKey {
  readonly tenantId: string
  readonly orderId: string
}

export interface ReserveCommand extends OrderKey {
  /** 1 to 50, no SKU twice. */
  readonly lines: readonly Line[]
  /** Hex SHA-256 of the lines. */
  readonly fingerprint: string
}

/** `fresh`: written by this call; `read`: it stood before. */
export interface Written {
  readonly role: 'fresh' | 'read'
  readonly reservation: Reservation
}

interface Supply {
  readonly tenantId: string
  readonly sku: string
  readonly supplied: number
}

/** Every change is one statement: reservation and stock are written together or not at all. */
export interface Stock {
  /** Inserts or reads; all lines are reserved or none. `conflict`: the order reserved other lines before. */
  reserve(
    command: ReserveCommand,
  ): Promise<{ readonly role: 'fresh' | 'read' | 'conflict'; readonly reservation: Reservation }>
  /** Gives held stock back, or leaves a tombstone that defeats a later reserve. */
  release(
    key: OrderKey,
  ): Promise<{ readonly role: 'fresh' | 'read' | 'committed'; readonly reservation: Reservation }>
  /** Sells what is held; says of each order that has a reservation what stands. At most 128. */
  settle(tenantId: string, orderIds: readonly string[]): Promise<readonly Written[]>
  find(key: OrderKey): Promise<Reservation | undefined>
  /** Due held reservations of all tenants, each put off by 60 s. */
  claimExpired(batch: number): Promise<readonly (OrderKey & { readonly ageSeconds: number })[]>
  /** By SKU, after `after`; of `skus`, or of all where it is absent. */
  levels(query: {
    readonly tenantId: string
    readonly skus: readonly string[] | undefined
    readonly after: string
    readonly limit: number
  }): Promise<readonly StockLevel[]>
  /** Raises what was supplied to at least so many; what is new becomes available. */
  supply(supply: Supply): Promise<{ readonly role: 'raised' | 'read'; readonly level: StockLevel }>
  gauges(): Promise<{ readonly held: number }>
}

type ReservationVerdict = 'commit' | 'release' | 'keep'

/** Order-service, which alone knows what becomes of an order. */
export interface Orders {
  /** `undefined`: no answer that counts. */
  verdictOf(key: OrderKey): Promise<ReservationVerdict | undefined>
}

/** An error line calls for a person. */
export interface Log {
  error(fields: Readonly<Record<string, unknown>>, message: string): void
  info(fields: Readonly<Record<string, unknown>>, message: string): void
}
