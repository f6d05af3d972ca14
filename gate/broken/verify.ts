/** `pnpm verify:gate`: every broken copy of the manifests must be refused, with the reason that names its trap. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ROOT } from '@oms/lab/folders'
import { requireTools, type Tools } from '@oms/lab/tools'
import { readEvidence } from '../src/evidence.ts'
import { readFiles } from '../src/files.ts'
import { ask } from '../src/gate.ts'
import { type Sources, treeOf } from '../src/manifests.ts'
import { renderAll } from '../src/render.ts'
import type { Rule } from '../src/rule.ts'
import { RULES } from '../src/rules.ts'
import { inTurns } from '../src/turns.ts'
import { BROKEN_COPIES, TOOL_BROKEN_COPIES } from './copies.ts'
import { broken, type ToolBrokenCopy } from './edits.ts'
import { mistakesIn } from './killed-by-gate.ts'
import { refusalsOf } from './refusals.ts'

const K8S = join(ROOT, 'k8s')
const sources = { files: readFiles(K8S), evidence: readEvidence(ROOT) }
const tools = requireTools()

/** What the rules find in `of`. @param folder where the same stands for kustomize. */
async function findingsIn(
  of: Sources,
  folder: string,
  rules: readonly Rule[],
  { builds = [] }: Pick<ToolBrokenCopy, 'builds'> = {},
): Promise<readonly string[]> {
  const renders =
    builds.length === 0 ? [] : await renderAll(folder, of.files, tools as Tools, builds)
  const answers = await ask({ ...treeOf(of), renders }, tools, rules)
  return answers.flatMap(({ findings }) => findings.map(({ what }) => what))
}

async function findingsOf(
  copy: ToolBrokenCopy,
  rules: readonly Rule[],
): Promise<readonly string[]> {
  const changed = broken(sources, copy)
  if (copy.builds === undefined) return findingsIn(changed, K8S, rules)
  const folder = mkdtempSync(join(tmpdir(), 'oms-broken-'))
  try {
    cpSync(K8S, folder, { recursive: true })
    for (const [path, file] of changed.files)
      if (file !== sources.files.get(path)) writeFileSync(join(folder, path), file.text)
    return await findingsIn(changed, folder, rules, copy)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

async function verify(): Promise<boolean> {
  const startedMs = performance.now()
  const plain = RULES.filter((rule) => 'check' in rule)
  const byTool = RULES.filter((rule) => 'run' in rule)
  const builds = TOOL_BROKEN_COPIES.flatMap((copy) => copy.builds ?? [])
  const before = await findingsIn(sources, K8S, RULES, { builds })
  if (before.length > 0) {
    console.error(`Without a mistake nothing may be found: npm run check.\n${before.join('\n')}`)
    return false
  }
  const all = [
    ...BROKEN_COPIES.map((copy) => ({ copy, rules: plain })),
    ...TOOL_BROKEN_COPIES.map((copy) => ({ copy, rules: byTool })),
  ]
  const refusals = await inTurns(all, async ({ copy, rules }) => {
    const found = await findingsOf(
      copy,
      rules.filter(({ gate }) => gate === copy.gate),
    )
    const isRefused = found.some((what) => copy.says.test(what))
    console.info(
      `${copy.gate.padEnd(4)}${isRefused ? 'refused   ' : 'NOT REFUSED'} ${copy.mistake}`,
    )
    if (!isRefused)
      console.info(`  It should say ${copy.says}\n  Found: ${found.join('\n') || 'nothing'}`)
    return isRefused
  })
  const refused = refusals.filter(Boolean).length
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
  console.info(`n = ${all.length} broken copies, ${refused} refused, ${seconds} s`)
  return refused === all.length
}

/** That e2e/mutants/gate.yaml is true. */
function verifyLeaves(): boolean {
  const startedMs = performance.now()
  const refusals = refusalsOf(sources.files)
  const mistakes = mistakesIn(sources, refusals)
  for (const each of mistakes) console.info(each)
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
  console.info(
    `n = ${refusals.length} leaves, each removed and changed, ${mistakes.length} told wrongly, ${seconds} s`,
  )
  return mistakes.length === 0
}

const verified = [await verify(), verifyLeaves()]
process.exitCode = verified.every(Boolean) ? 0 : 1
