/** Where a load goes. Never anywhere but loopback, the lab, or a context that was named on the command line. */
import { join } from 'node:path'
import type { Mesh } from '@oms/proofs/cluster/mesh'
import type { Session } from '@oms/proofs/session'
import type { Plan } from './plan.ts'

export interface Audited {
  /** Promises that were checked. */
  readonly checked: readonly string[]
  /** What breaks one. */
  readonly broken: readonly string[]
}

export interface AuditOptions {
  /** Folder of acks.jsonl and answers.jsonl. */
  readonly recordings: string
  /** Seconds to wait until nothing is under way; none: as it is now. */
  readonly settleSeconds?: number
}

export interface Stock {
  readonly available: number
  readonly reserved: number
  readonly sold: number
}

export interface Target {
  /** For people. */
  readonly name: string
  readonly url: string
  readonly hosts: Plan['hosts']
  readonly authority?: string
  headersOf(tenant: string): Promise<Readonly<Record<string, string>>>
  /** GET; resolves with the body as JSON. */
  read(path: string, tenant: string): Promise<unknown>
  stockOf(tenant: string, sku: string): Promise<Stock>
  /** Raises what was supplied of a SKU to so much. */
  supply(tenant: string, sku: string, supplied: number): Promise<void>
  audit(options: AuditOptions): Promise<Audited>
  /** Of an order; undefined where nobody keeps traces. */
  traceUrl(traceId: string): string | undefined
  /** Where it is a cluster. */
  readonly cluster?: { readonly session: Session; readonly mesh: Mesh }
  /** As it was before. */
  close(): Promise<void>
}

export function auditFlags({ recordings, settleSeconds }: AuditOptions): readonly string[] {
  const recorded = [
    '--acks',
    join(recordings, 'acks.jsonl'),
    '--answers',
    join(recordings, 'answers.jsonl'),
  ]
  return settleSeconds === undefined
    ? recorded
    : [...recorded, '--settle-timeout', String(settleSeconds)]
}
