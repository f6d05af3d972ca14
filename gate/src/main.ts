/** `node gate/src/main.ts`: everything below k8s/ and what guards it, without a cluster and without a network. Exits with 1 where it finds something. */
import { join } from 'node:path'
import { ROOT } from '@oms/lab/folders'
import { cachedTools } from '@oms/lab/tools'
import { readEvidence } from './evidence.ts'
import { readFiles } from './files.ts'
import { ask, report } from './gate.ts'
import { treeOf } from './manifests.ts'
import { renderAll, renderedSets } from './render.ts'

const startedMs = performance.now()
const tools = cachedTools()
const folder = join(ROOT, 'k8s')
const files = readFiles(folder)
const tree = treeOf({ files, evidence: readEvidence(ROOT) })
const renders = tools === undefined ? [] : await renderAll(folder, files, tools)
const answers = await ask(
  { ...tree, renders, sets: [...tree.sets, ...renderedSets(files, renders)] },
  tools,
)
const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
console.info(`${report(answers)}\nthe gate: ${answers.length} rules, ${seconds} s`)
if (answers.some(({ findings }) => findings.length > 0)) process.exitCode = 1
if (process.env['CI'] === 'true' && answers.some(({ skipped }) => skipped)) {
  console.error('CI demands every rule, and the tools are not built: pnpm lab build')
  process.exitCode = 1
}
