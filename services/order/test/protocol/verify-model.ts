/** The larger search, outside `npm test`: two drivers, two copies of every message, two crashes. */
import { explore } from './explore.ts'
import { modelOf } from './mutants.ts'

/** Fewer would mean that the model has lost something that can happen. */
const MIN_STATES = 90_000
const MAX_MS = 60_000

const startedMs = performance.now()
const { states, steps, counterexample } = explore(
  modelOf({ drivers: 2, copies: 2, crashes: 2 }, {}),
)
const tookMs = Math.round(performance.now() - startedMs)

console.info(`n = ${states.length} states, ${steps} steps, exhaustive, ${tookMs} ms`)
if (counterexample !== undefined)
  console.error([counterexample.broken, ...counterexample.trace].join('\n  '))
if (counterexample !== undefined || states.length < MIN_STATES || tookMs > MAX_MS)
  process.exitCode = 1
