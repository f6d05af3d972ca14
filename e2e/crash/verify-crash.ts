/**
 * `pnpm verify:crash`: V2 with real processes. SIGKILL at every fault point, first and recovery pass, several systems
 * at once; `--scale=nightly` adds the other faults and pairs of them.
 */
import { parseArgs } from 'node:util'
import { createRandom } from '../random.ts'
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
import { bothPasses, type Case, otherFaults, pairsOfFaults, type Recoveries } from './cases.ts'
import { FAULT_POINTS, type FaultPoint } from './points.ts'
import { createProcessSite, type ProcessSite } from './process-site.ts'
import type { Endurance } from './survive.ts'

const USAGE = `pnpm verify:crash [--scale=nightly] [--width=4] [--only=POINT] [--pairs=2000] [--seed=N]
  --scale   target, or nightly: also every other fault at every point, and pairs of faults
  --width   systems at once, 1 to 6
  --only    this fault point alone
  --pairs   how many of them
  --seed    of the pairs`

/** As many systems as the job's PostgreSQL has connections for. */
const MAX_WIDTH = 6

interface Options {
  readonly nightly: boolean
  readonly width: number
  readonly points: readonly FaultPoint[]
  readonly pairs: number
  readonly seed: number
}

/** @throws UsageError */
function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      scale: { type: 'string', default: 'target' },
      width: { type: 'string', default: '4' },
      only: { type: 'string' },
      pairs: { type: 'string', default: '2000' },
      seed: { type: 'string', default: String(randomSeed()) },
    },
  })
  const { scale, only } = values
  const width = wholeNumber('--width', values.width)
  const points = FAULT_POINTS.filter(({ name }) => name === (only ?? name))
  if (scale !== 'target' && scale !== 'nightly')
    throw new UsageError(`There is no scale "${scale}".`)
  if (width < 1 || width > MAX_WIDTH)
    throw new UsageError(`--width takes 1 to ${MAX_WIDTH}, not ${width}.`)
  if (points.length === 0) throw new UsageError(`There is no fault point "${only}".`)
  return {
    nightly: scale === 'nightly',
    width,
    points,
    pairs: wholeNumber('--pairs', values.pairs),
    seed: wholeNumber('--seed', values.seed),
  }
}

interface Runner {
  /** Runs the cases, each in one of the systems; one in which something failed is replaced. */
  run(cases: readonly Case[], hurry: boolean): Promise<void>
  /** Labels of cases. */
  readonly failures: readonly string[]
  /** Of the cases that did not fail. */
  totals(): Endurance
}

function createRunner({ postgres, folder, atEnd, ended, say }: DatabaseJob, width: number): Runner {
  const sites = new Set<Promise<ProcessSite>>()
  const failures: string[] = []
  let totals: Endurance = { armed: 0, met: 0, endedAfterMs: 0 }
  atEnd.push(() => Promise.allSettled([...sites].map(async (site) => (await site).close())))

  async function runOne({ label, run }: Case, site: ProcessSite): Promise<boolean> {
    try {
      const { armed, met, endedAfterMs, first, recovery } = await run(site)
      const hits =
        first === undefined
          ? `${met} of ${armed} met`
          : `hits: first ${first}, recovery ${recovery}`
      totals = {
        armed: totals.armed + armed,
        met: totals.met + met,
        endedAfterMs: Math.max(totals.endedAfterMs, endedAfterMs),
      }
      say(`${label.padEnd(32)}  ${hits}; ended after ${(endedAfterMs / 1000).toFixed(1)} s`)
      return true
    } catch (error) {
      // What is cut off by the end complains; nobody has to hear it.
      if (ended.aborted) return false
      failures.push(label)
      say(`FAILED ${label}\n${(error as Error).message}\n${site.warnings()}`)
      return false
    }
  }

  async function run(cases: readonly Case[], hurry: boolean): Promise<void> {
    const queue = cases.values()

    function open(): Promise<ProcessSite> {
      const { url: superuserUrl } = postgres
      const site = createProcessSite({ superuserUrl, password: JOB_PASSWORD, folder, hurry })
      sites.add(site)
      return site
    }

    async function close(site: Promise<ProcessSite>): Promise<void> {
      await (await site).close()
      sites.delete(site)
    }

    async function work(): Promise<void> {
      let site: Promise<ProcessSite> | undefined
      for (const each of queue) {
        if (ended.aborted) return
        site ??= open()
        if (await runOne(each, await site)) continue
        await close(site)
        site = undefined
      }
      if (site !== undefined) await close(site)
    }

    await Promise.all(Array.from({ length: Math.min(width, cases.length) }, work))
    ended.throwIfAborted()
  }

  return { run, failures, totals: () => totals }
}

await runJob(USAGE, async (job) => {
  const { nightly, width, points, pairs, seed } = readOptions()
  const runner = createRunner(await withPostgres(job), width)
  const recoveries: Recoveries = new Map()
  const passes = points.map((point) => bothPasses(point, recoveries))
  await runner.run(passes, false)
  const survived = points.length - runner.failures.length
  if (nightly) {
    const random = createRandom(seed)
    const others = otherFaults(points, random)
    await runner.run([...others, ...pairsOfFaults(points, recoveries, pairs, random)], true)
  }
  const { armed, met, endedAfterMs } = runner.totals()
  job.say(
    `n = ${met} faults, of ${armed} armed; ${survived} of ${points.length} points hit and survived in both passes, ${runner.failures.length} failures; slowest end ${(endedAfterMs / 1000).toFixed(1)} s after everything was back; ${provenance(met, seed)}`,
  )
  return runner.failures.length === 0
})
