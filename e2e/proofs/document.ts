/** `node e2e/proofs/document.ts`: writes the table of docs/mesh.md from the last whole run of `pnpm e2e` and the mutants there are. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '@oms/lab/folders'
import { withPart } from '@oms/report/markdown'
import { STATE_DIR } from './cluster/target.ts'
import { readKnown } from './mutants/list.ts'
import { changeOf } from './mutants/trial.ts'
import type { MutantResult, ProofRun } from './result.ts'
import { tableOfProofs } from './table.ts'

const DOCUMENT = join(ROOT, 'docs/mesh.md')
const RUN = join(STATE_DIR, 'proofs.json')

function readRun(names: Iterable<string>): ProofRun {
  const run = existsSync(RUN) ? (JSON.parse(readFileSync(RUN, 'utf8')) as ProofRun) : undefined
  const known = new Set(run?.proofs.map(({ name }) => name))
  const isWhole =
    run?.proofs.every(({ outcome }) => outcome !== 'red') &&
    [...names].every((name) => known.has(name))
  if (run === undefined || !isWhole)
    throw new Error('The table is of a whole run in which no proof is red: pnpm e2e')
  return run
}

const { evidence, proofs } = await readKnown()
const mutants = evidence.mutants.map(
  (mutant): MutantResult => ({
    ...mutant,
    change: changeOf(mutant),
    outcome: 'not run',
    durationMs: 0,
  }),
)
const run = readRun(proofs.keys())
// The audit after them is no proof of a manifest.
const shown = { ...run, proofs: run.proofs.filter(({ name }) => proofs.has(name)) }
const table = tableOfProofs(shown, mutants)
writeFileSync(DOCUMENT, withPart(readFileSync(DOCUMENT, 'utf8'), 'proofs', table))
