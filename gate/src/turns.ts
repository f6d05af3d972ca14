/** As many at once as the machine has processors. */
import { availableParallelism } from 'node:os'

export async function inTurns<From, To>(
  from: readonly From[],
  make: (each: From) => Promise<To>,
): Promise<readonly To[]> {
  const queue = from.entries()
  const made: To[] = []
  const workers = Array.from({ length: availableParallelism() }, async () => {
    for (const [index, each] of queue) made[index] = await make(each)
  })
  await Promise.all(workers)
  return made
}
