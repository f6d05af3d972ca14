/** The application's own account: one log line a request, of every pod that a selector finds. */
import type { RequestLogLine } from '@oms/contracts/log'
import { type Api, untilEnough } from './api.ts'
import { logLines, podsOf } from './pods.ts'
import { PROBE_LABEL } from './probe.ts'

export type Line = RequestLogLine

export interface LedgerOf {
  readonly namespace: string
  /** Label selector, as `app=payment-service`. */
  readonly selector: string
  readonly container: string
}

export function ledgerOf(service: string, namespace = 'order-management'): LedgerOf {
  return { namespace, selector: `app=${service}`, container: service }
}

/** Of the probes in a namespace. */
export function probesLedger(namespace: string): LedgerOf {
  return { namespace, selector: `app=${PROBE_LABEL}`, container: 'probe' }
}

/** In order of time. @param sinceMs of Date.now() here; nodes' clocks may be a second off. */
export async function readLedger(
  api: Api,
  { namespace, selector, container }: LedgerOf,
  sinceMs: number,
  wanted: (line: Line) => boolean,
): Promise<readonly Line[]> {
  const pods = await podsOf(api, namespace, selector)
  const lines = await Promise.all(pods.map((pod) => logLines(api, pod, container, sinceMs)))
  return (lines.flat() as unknown as readonly Line[])
    .filter((line) => line.msg === 'request' && wanted(line))
    .sort((a, b) => a.time - b.time)
}

/** Log lines reach the API server within a second. */
const WRITTEN_WITHIN_MS = 5000

/** Reads until there are `count`, or gives what is there: whoever asks compares. */
export function untilLines<T = Line>(
  count: number,
  read: () => Promise<readonly T[]>,
): Promise<readonly T[]> {
  return untilEnough(WRITTEN_WITHIN_MS, read, (lines) => lines.length >= count)
}
