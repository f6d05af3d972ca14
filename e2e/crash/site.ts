/** A running system whose processes die at fault points on demand: real processes, or applications in this one. */
import type { Client } from '../system/client.ts'
import type { Service } from '../system/system.ts'

/** What a process does at an armed point; only the first is possible where all services share one process. */
export const ACTIONS = [
  'crash',
  'crash_after',
  'throw',
  'delay',
  'hang',
  'drop_response',
  'kill_connection',
] as const
export type Action = (typeof ACTIONS)[number]

/** 2.5 s of `delay`: past what any caller waits for one try, payment's own answer at 1.7 s and inventory's 2.2 s included. */
export const DELAY_MS = 2500

export interface Fault {
  readonly point: string
  readonly action: Action
  /** Of `crash_after`: so long after the point. Milliseconds. */
  readonly afterMs?: number
}

export type QueryRows = <Row extends object>(
  service: Service,
  sql: string,
  values?: readonly unknown[],
) => Promise<readonly Row[]>

export interface Site {
  readonly client: Client
  readonly inventoryUrl: string
  /** Rows of a service's database, as superuser. */
  readonly query: QueryRows
  /** Who waits longer than this for something waits in vain. */
  readonly maxRounds: number
  /** The next process that comes by does it, once. */
  arm(fault: Fault): void
  /** Nothing is armed any more. */
  disarm(): void
  /** The points that were hit so far, in their order. */
  hits(): readonly string[]
  /** Time passes: the dead are back, leases run out, sweepers and relay do their rounds. */
  round(): Promise<void>
  /** The dead are back; who is away stays away. */
  revive(): Promise<void>
  away(service: Service): Promise<void>
  heal(): Promise<void>
  /** Lets the work under way end and checks I1–I12; the table where a promise is broken. */
  audit(): Promise<string | undefined>
  close(): Promise<void>
}

/** Brings forward what would be due later, in place of waiting for it. */
export async function endLeases(query: QueryRows): Promise<void> {
  await query('order', 'UPDATE oms.orders SET next_run_at = now() WHERE state < 100')
  await query('order', 'UPDATE oms.outbox SET next_try_at = now()')
  await query('payment', 'UPDATE oms.payment SET next_run_at = now() WHERE state = 1')
  await query('payment', 'UPDATE oms.refund SET next_run_at = now() WHERE state = 1')
}
