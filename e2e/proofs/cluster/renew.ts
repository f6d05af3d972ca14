/** New connections: an old one obeys the policies of its beginning. */
import type { Call, Probe } from './probe.ts'

/** More than a caller's proxy keeps open to all pods of a service. */
export const ALL_AT_ONCE = 16

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
