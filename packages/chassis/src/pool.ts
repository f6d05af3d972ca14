/** Database connections, whoever asks for them. */
import pg from 'pg'

/**
 * A pool that outlives its connections. An idle one may break, and one that is just closing may be cut; without a listener
 * that would end the process. The next query tells.
 * @param onLost hears of each.
 */
export function openPool(
  options: pg.PoolConfig,
  onLost: (error: Error) => void = () => undefined,
): pg.Pool {
  const pool = new pg.Pool(options)
  pool.on('error', onLost)
  return pool
}
