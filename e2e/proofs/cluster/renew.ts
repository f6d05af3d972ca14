/** New connections: an old one obeys the policies of its beginning. */
import type { Call, Probe } from './probe.ts'

/** More than a caller's proxy keeps open to all pods of a service. */
export const ALL_AT_ONCE = 16

/** Of one caller after the other call, to a service: that one of two pods gets none has odds of 2 in 2^20. */
export const ONE_BY_ONE = 20
const ANSWERED_WITHIN_MS = 1000

/**
 * As `renewConnections`, for who asks one after the other, on connections that are kept: its proxy takes the newest of
 * those that it has open to a pod.
 * @param connections the name of those on which is asked afterwards.
 */
export async function renewSerially(
  { calls }: Pick<Probe, 'calls'>,
  reads: readonly Call[],
  connections: string,
): Promise<void> {
  for (const read of reads) {
    const [first] = await calls([{ ...read, timeoutMs: ANSWERED_WITHIN_MS }], { connections })
    // Where nobody answers none is open.
    if (first?.status !== 0) await calls([{ ...read, repeat: ONE_BY_ONE }], { connections })
  }
}

/**
 * A connection between two proxies obeys the policies of its beginning until its next answer, which closes it: every one
 * that is open is used once, by calls side by side.
 * @param reads one of each service: a path that it does not have will do.
 */
export async function renewConnections(
  { calls }: Pick<Probe, 'calls'>,
  reads: readonly Call[],
): Promise<void> {
  for (const read of reads)
    for (let round = 0; round < 2; round++)
      await calls([{ ...read, repeat: ALL_AT_ONCE }], { workers: ALL_AT_ONCE })
}
