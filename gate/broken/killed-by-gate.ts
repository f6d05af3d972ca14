/** e2e/mutants/gate.yaml: what of the leaves the gate kills by itself, written and compared. */
import { evidenceOf, KILLED_BY_GATE } from '../src/evidence.ts'
import type { Sources } from '../src/manifests.ts'
import type { Refusal } from './refusals.ts'

const WRITE = 'node gate/broken/leaves.ts --write'

const HEADER = `# Fields of the mesh that the gate guards by itself: removed or changed, each is refused by these gates.
# Written by ${WRITE}, verified by pnpm verify:gate.
`

function killedIn(refusals: readonly Refusal[]): readonly Refusal[] {
  return refusals.filter(({ passed }) => passed.length === 0)
}

/** By target, and in each as the manifest has them. */
export function listOf(refusals: readonly Refusal[]): string {
  const byTarget = Map.groupBy(killedIn(refusals), ({ leaf }) => leaf.target)
  const blocks = [...byTarget]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([target, all]) => {
      const lines = all.map(({ leaf, gates }) => `  ${leaf.pointer}: [${gates.join(', ')}]\n`)
      return `${target}:\n${lines.join('')}`
    })
  return HEADER + blocks.join('')
}

/** What the list says and the gate does not do, and the other way round. */
export function mistakesIn(
  { files, evidence }: Sources,
  refusals: readonly Refusal[],
): readonly string[] {
  const listed = evidenceOf(files, evidence).killedByGate
  return refusals.flatMap(({ leaf: { id }, gates, passed }) => {
    const said = listed.get(id)?.join(', ')
    const done = passed.length === 0 ? gates.join(', ') : undefined
    if (said === done) return []
    const how =
      passed.length === 0 ? `refused by ${gates.join(', ')}` : `not refused: ${passed.join(', ')}`
    return [`${id}: ${how}; ${KILLED_BY_GATE} says ${said ?? 'nothing'}: ${WRITE}`]
  })
}
