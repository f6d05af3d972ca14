/** `pnpm verify:durability`: the large run of V12, at most 20 minutes. */
import { parseArgs } from 'node:util'
import { type Job, provenance, randomSeed, runJob, wholeNumber } from '../verification.ts'
import { createDurability, type DurabilityResult } from './durability.ts'

const USAGE = `pnpm verify:durability [--orders=100000] [--kills=24] [--seed=N]
  --orders  to be acknowledged
  --kills   of PostgreSQL under them
  --seed    of orders and kills`

/** 18 minutes, of 20 with the audit. */
const WITHIN_MS = 18 * 60_000
/** Of what is missing or less. */
const SHOWN = 20

interface Options {
  readonly orders: number
  readonly kills: number
  readonly seed: number
}

/** @throws UsageError */
function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      orders: { type: 'string', default: '100000' },
      kills: { type: 'string', default: '24' },
      seed: { type: 'string', default: String(randomSeed()) },
    },
  })
  return {
    orders: wholeNumber('--orders', values.orders),
    kills: wholeNumber('--kills', values.kills),
    seed: wholeNumber('--seed', values.seed),
  }
}

function isGood(result: DurabilityResult, { orders, seed }: Options, say: Job['say']): boolean {
  const { acknowledged, kills, killed, downMs, unanswered, broken, audit } = result
  for (const each of broken.slice(0, SHOWN)) console.error(each)
  if (audit !== undefined) console.error(audit)
  say(
    `${kills} kills, ${killed} processes, ${Math.round(downMs / 1000)} s without PostgreSQL, ${unanswered} tries unanswered; audit ${audit === undefined ? 'green' : 'red'}`,
  )
  say(
    `n = ${acknowledged} acknowledged, ${broken.length} missing or less; ${provenance(acknowledged, seed)}`,
  )
  if (acknowledged < orders)
    console.error(
      `Only ${acknowledged} of ${orders} orders were acknowledged within ${WITHIN_MS / 60_000} minutes. Run it on a quiet machine, or with fewer --orders.`,
    )
  return broken.length === 0 && audit === undefined && acknowledged >= orders
}

// Its PostgreSQL is not the job's: it is what gets killed.
await runJob(USAGE, async ({ say, atEnd }) => {
  const options = readOptions()
  const durability = createDurability({ ...options, withinMs: WITHIN_MS, tell: say })
  atEnd.push(durability.close)
  return isGood(await durability.run(), options, say)
})
