/** `pnpm e2e:mutants`: breaks one field of the mesh after the other on a cluster, and sees its proof go red. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { leavesOf } from '@oms/gate/leaves'
import type { Mutant } from '@oms/gate/mutants'
import { scoreOf } from '@oms/gate/score'
import { openMesh } from './cluster/mesh.ts'
import { ProofsError } from './cluster/preflight.ts'
import { STATE_DIR } from './cluster/target.ts'
import { type Known, openResults, type Results, readKnown, select } from './mutants/list.ts'
import { createTrial } from './mutants/trial.ts'
import { type Score, writeReport } from './report.ts'
import type { MutantResult, ProofRun } from './result.ts'
import { arrive, FLAGS, FLAGS_USAGE, onSignal, runCommand, type Session } from './session.ts'

const USAGE = `pnpm e2e:mutants [ID …] [--shard N/M] [--changed-since COMMIT] [--minutes N] [--resume]
  ID               of a mutant in e2e/mutants, or its beginning
  --shard          the n-th of m parts
  --changed-since  only of manifests that differ from this commit's
  --minutes        begins no other after so many
  --resume         without those that were killed before, by the same proofs on the same manifest
  --list           says which there are, and runs none
${FLAGS_USAGE}`

function options() {
  return parseArgs({
    allowPositionals: true,
    options: {
      ...FLAGS,
      shard: { type: 'string' },
      'changed-since': { type: 'string' },
      minutes: { type: 'string', default: '1000' },
      resume: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
    },
  })
}

async function main(): Promise<void> {
  const { values, positionals } = options()
  if (values.help) return console.info(USAGE)
  const minutes = Number(values.minutes)
  if (!(minutes > 0)) throw new ProofsError('--minutes is a number above 0.')
  const known = await readKnown()
  const chosen = select(known.evidence.mutants, {
    ids: positionals,
    shard: values.shard,
    changedSince: values['changed-since'],
  })
  if (values.list) {
    for (const { id, kills, target } of chosen)
      console.info(`${id.padEnd(48)}  ${kills.join(', ').padEnd(32)}  ${target}`)
    return
  }
  const results = openResults(known)
  const due = chosen.filter(
    (mutant) => !(values.resume && results.before(mutant)?.outcome === 'killed'),
  )
  if (due.length === 0) {
    console.info(`No mutant is due, of ${chosen.length} chosen ones.`)
    return conclude(known, results, chosen)
  }
  let session: Session | undefined
  const stopped = onSignal(async () => session?.leave())
  session = await arrive(values)
  const { begin, forget, settled } = await openMesh()
  const trial = createTrial({ proofs: known.proofs, begin, forget, settled })
  const endMs = performance.now() + minutes * 60_000
  for (const mutant of due) {
    if (stopped.now) return
    if (performance.now() > endMs) {
      console.info(`${minutes} min have passed: the others are left for --resume.`)
      break
    }
    const result = await trial.run(mutant)
    results.keep(mutant, result)
    tell(result)
  }
  await forget()
  await session.leave()
  conclude(known, results, chosen)
}

const MARKS = { killed: '✓', survived: '✗', 'not run': '–' } as const

function tell({ id, outcome, durationMs, kills, change, reason }: MutantResult): void {
  const seconds = (durationMs / 1000).toFixed(1).padStart(6)
  console.info(`  ${MARKS[outcome]} ${id.padEnd(42)}${seconds} s  ${kills.join(', ')}: ${change}`)
  if (outcome !== 'killed') console.info(`      ${outcome}: ${reason}`)
}

/** The score counts what was killed, in this run or before, and what the gate refuses: pnpm verify:gate. */
function conclude({ files, evidence }: Known, results: Results, chosen: readonly Mutant[]): void {
  const found = evidence.mutants.flatMap((mutant) => {
    const result = results.before(mutant)
    return result === undefined ? [] : [{ mutant, result }]
  })
  const killed = found.filter(({ result }) => result.outcome === 'killed')
  const { totals, killers } = scoreOf(
    leavesOf(files),
    killed.map(({ mutant }) => mutant),
    evidence,
  )
  const ran = chosen.flatMap((mutant) => results.before(mutant) ?? [])
  const count = (outcome: MutantResult['outcome']): number =>
    ran.filter((each) => each.outcome === outcome).length
  console.info(
    `${count('killed')} killed, ${count('survived')} survived, ${count('not run')} not run, ${chosen.length - ran.length} left, of ${chosen.length} mutants`,
  )
  console.info(
    `${totals.killed} of ${totals.leaves - totals.unproven} fields have a killer (${((100 * totals.killed) / (totals.leaves - totals.unproven)).toFixed(1)} %): live ${totals.live}, admission ${totals.admission}, gate ${totals.gate}; unproven here ${totals.unproven}`,
  )
  const score: Score = {
    leaves: totals.leaves - totals.unproven,
    live: totals.live,
    admission: totals.admission,
    gate: totals.gate,
    unproven: killers.flatMap(({ leaf, unproven }) => (unproven === undefined ? [] : [leaf.id])),
  }
  const page = reportWith(
    found.map(({ result }) => result),
    score,
  )
  if (page !== undefined) console.info(`report: ${page}`)
  if (count('survived') > 0 || totals.survivors > 0) process.exitCode = 1
}

/** Beside the last run of the proofs. */
function reportWith(mutants: readonly MutantResult[], score: Score): string | undefined {
  const file = join(STATE_DIR, 'proofs.json')
  if (!existsSync(file)) return undefined
  return writeReport(STATE_DIR, JSON.parse(readFileSync(file, 'utf8')) as ProofRun, {
    mutants,
    score,
  })
}

await runCommand(USAGE, async () => {
  await main()
  // Ways into pods stay open as long as this process.
  process.exit()
})
