/** `node gate/broken/leaves.ts`: who notices when a field of the mesh changes. With --write it mutates all and writes what the gate kills. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '@oms/lab/folders'
import { evidenceOf, KILLED_BY_GATE, readEvidence } from '../src/evidence.ts'
import { readFiles } from '../src/files.ts'
import { leavesOf } from '../src/leaves.ts'
import { isSurvivor, scoreOf } from '../src/score.ts'
import { listOf } from './killed-by-gate.ts'
import { refusalsOf } from './refusals.ts'

const files = readFiles(join(ROOT, 'k8s'))
if (process.argv.includes('--write'))
  writeFileSync(join(ROOT, KILLED_BY_GATE), listOf(refusalsOf(files)))

const evidence = evidenceOf(files, readEvidence(ROOT))
const { killers, totals } = scoreOf(leavesOf(files), evidence.mutants, evidence)
for (const [name, count] of Object.entries(totals))
  console.info(`${name.padEnd(10)}${String(count).padStart(5)}`)
for (const { leaf } of killers.filter(isSurvivor)) console.info(`  ${leaf.id}`)
