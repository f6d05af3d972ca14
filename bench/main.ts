/** `pnpm bench`: what the chassis, an order and a start cost, each beside its control in the same run. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { StartError } from '@oms/chassis/embedded-postgres'
import { ProgramError } from '@oms/e2e/program'
import { withPart } from '@oms/report/markdown'
import { measureChassis } from './chassis-cost.ts'
import { cleanUp, cleanUpOnSignal } from './clean-up.ts'
import { factsLine, readFacts } from './facts.ts'
import { measureOrders } from './orders.ts'
import { isMet, type Row, tableOfResults } from './report.ts'
import { measureStart } from './start.ts'
import { startWorld } from './world.ts'

const SECTIONS = ['chassis', 'orders', 'start'] as const
const DOCUMENT = join(import.meta.dirname, '../docs/performance.md')
const RESULTS = join(import.meta.dirname, 'results.json')

const USAGE = `pnpm bench [--only chassis|orders|start] [--rounds N] [--write] [--check]
  --only SECTION  one part of it
  --rounds N      rounds, and starts, instead of each part's own number
  --write         puts the table into docs/performance.md
  --check         exit code 1 where a bar is missed; for machines that do nothing else meanwhile`

class UsageError extends Error {}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: 'string' },
        rounds: { type: 'string' },
        write: { type: 'boolean', default: false },
        check: { type: 'boolean', default: false },
      },
    })
    const { only, write, check } = values
    const sections = SECTIONS.filter((section) => only === undefined || section === only)
    if (sections.length === 0) throw new Error(`--only takes one of ${SECTIONS.join(', ')}`)
    if (write && only !== undefined) throw new Error('--write takes the whole run, without --only')
    const rounds = values.rounds === undefined ? undefined : Number(values.rounds)
    if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0 && rounds < 1000))
      throw new Error(`--rounds takes a number from 1 to 999, not "${values.rounds}"`)
    return { sections, rounds, write, check }
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n${USAGE}`)
  }
}

const startedAt = performance.now()

function tell(line: string): void {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
  console.log(`${seconds.padStart(5)} s  ${line}`)
}

async function bench(): Promise<number> {
  const { sections, rounds, write, check } = readOptions()
  const world = await startWorld()
  const facts = await readFacts(world)
  console.log(`${factsLine(facts)}\n`)
  const measures = {
    chassis: () => measureChassis(tell, rounds),
    orders: () => measureOrders(world, tell, rounds),
    start: () => measureStart(world, tell, rounds),
  }
  const rows: Row[] = []
  for (const section of sections) rows.push(...(await measures[section]()))
  const results = `${tableOfResults(rows)}\n\n${factsLine(facts)}`
  console.log(`\n${results}\n`)
  writeFileSync(RESULTS, `${JSON.stringify({ facts, rows }, undefined, 2)}\n`)
  if (write) writeFileSync(DOCUMENT, withPart(readFileSync(DOCUMENT, 'utf8'), 'bench', results))
  const missed = rows.filter((row) => isMet(row) === false)
  for (const { what } of missed) console.log(`Missed: ${what}`)
  return check && missed.length > 0 ? 1 : 0
}

cleanUpOnSignal()
try {
  process.exitCode = await bench()
} catch (error) {
  const told = [UsageError, StartError, ProgramError].some((kind) => error instanceof kind)
  console.error(told ? (error as Error).message : (error as Error).stack)
  process.exitCode = error instanceof UsageError ? 2 : 1
} finally {
  await cleanUp()
}
