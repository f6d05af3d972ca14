/** `pnpm verify:properties`: V3 at its target scale, with a new seed every time. */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { createWorld, type World } from '../in-process/world.ts'
import {
  type DatabaseJob,
  JOB_PASSWORD,
  provenance,
  randomSeed,
  runJob,
  UsageError,
  wholeNumber,
  withPostgres,
} from '../verification.ts'
import { checkProperties, LANES, repeatSteps } from './check-properties.ts'
import type { Step } from './steps.ts'

const USAGE = `pnpm verify:properties [--scale=target] [--runs=N] [--max-steps=60] [--seed=N]
  --scale        smoke (50 runs), target (1,000), nightly (15,000)
  --runs         another number of them
  --max-steps    of one run
  --seed         what a failure printed, with --path and --replay-path to go there at once`

const RUNS_OF_SCALE: Readonly<Record<string, number>> = { smoke: 50, target: 1000, nightly: 15_000 }
/** An audit reads all orders of its world: a new world keeps it quick. */
const RUNS_OF_A_WORLD = 100

function readOptions() {
  const { values } = parseArgs({
    options: {
      scale: { type: 'string', default: 'target' },
      runs: { type: 'string' },
      'max-steps': { type: 'string', default: '60' },
      seed: { type: 'string', default: String(randomSeed()) },
      path: { type: 'string' },
      'replay-path': { type: 'string' },
    },
  })
  const { scale, seed, path, 'replay-path': replayPath } = values
  const runs = values.runs ?? String(RUNS_OF_SCALE[scale] ?? '')
  if (runs === '') throw new UsageError(`There is no scale "${scale}".`)
  return {
    runs: wholeNumber('--runs', runs),
    maxSteps: wholeNumber('--max-steps', values['max-steps']),
    seed: wholeNumber('--seed', seed),
    ...(path === undefined ? {} : { path }),
    ...(replayPath === undefined ? {} : { replayPath }),
  }
}

/** The worlds of one lane, one after the other. */
function createWorlds({ postgres, atEnd, say }: DatabaseJob, lane: number): () => Promise<World> {
  let world: Promise<World> | undefined
  let runs = 0
  atEnd.push(async () => (await world)?.close())
  return async () => {
    if (world !== undefined && runs > 0 && runs % RUNS_OF_A_WORLD === 0) {
      const old = world
      world = undefined
      await (await old).close()
      say(`${runs} runs in lane ${lane + 1}`)
    }
    runs++
    world ??= createWorld({ superuserUrl: postgres.url, password: JOB_PASSWORD })
    return world
  }
}

await runJob(USAGE, async (job) => {
  const options = readOptions()
  const database = await withPostgres(job)
  const lanes = Array.from({ length: LANES }, (_, lane) => createWorlds(database, lane))
  const nextWorld = (lane: number): Promise<World> =>
    (lanes[lane] as ReturnType<typeof createWorlds>)()
  const regressions: Readonly<Record<string, readonly Step[]>> = JSON.parse(
    readFileSync(new URL('regressions.json', import.meta.url), 'utf8'),
  )
  for (const [name, steps] of Object.entries(options.path === undefined ? regressions : {})) {
    try {
      await repeatSteps(await nextWorld(0), steps)
    } catch (error) {
      // What the end cuts off is no violation.
      job.ended.throwIfAborted()
      console.error(error)
      job.say(`violated again: ${name}`)
      return false
    }
    job.say(`holds: ${name}`)
  }
  const { runs, tally, failure } = await checkProperties({ nextWorld, ...options })
  job.ended.throwIfAborted()
  const kinds = [...tally.steps].sort(([, one], [, other]) => other - one)
  for (const [kind, count] of kinds) console.info(`${String(count).padStart(8)}  ${kind}`)
  if (failure !== undefined) console.error(failure)
  const steps = kinds.reduce((sum, [, count]) => sum + count, 0)
  job.say(
    `n = ${runs} runs, ${steps} steps of ${kinds.length} kinds, ${tally.repeated} repeated on a slow machine, ${failure === undefined ? 0 : 1} violations; ${provenance(runs, options.seed)}`,
  )
  return failure === undefined
})
