/** What of the leaves the gate kills by itself: those of which it refuses every mutation. */
import type { Files } from '../src/files.ts'
import { type Leaf, leavesOf } from '../src/leaves.ts'
import { type Tree, treeOf } from '../src/manifests.ts'
import { GATES, type Gate, type PlainRule } from '../src/rule.ts'
import { RULES } from '../src/rules.ts'
import { type Mutation, mutationsOf } from './mutations.ts'

/** G1 is about kustomizations, not about values; to G14 a leaf that is gone is a line without a leaf. */
const NOT_ASKED: readonly Gate[] = ['G1', 'G14']

/** Without a program. */
const ASKED = Object.groupBy(
  RULES.filter((rule): rule is PlainRule => 'check' in rule && !NOT_ASKED.includes(rule.gate)),
  ({ gate }) => gate,
)

export interface Refusal {
  readonly leaf: Leaf
  /** Those that refuse one of its mutations or all. */
  readonly gates: readonly Gate[]
  /** What nobody refuses; none: the gate kills it. */
  readonly passed: readonly Mutation['how'][]
}

export function refusalsOf(files: Files): readonly Refusal[] {
  return leavesOf(files).map((leaf) => {
    const answers = mutationsOf(files, leaf).map(({ how, files: mutated }) => ({
      how,
      gates: gatesThatRefuse(treeOf({ files: mutated, evidence: new Map() })),
    }))
    return {
      leaf,
      gates: gatesInOrder.filter((gate) => answers.some(({ gates }) => gates.includes(gate))),
      passed: answers.filter(({ gates }) => gates.length === 0).map(({ how }) => how),
    }
  })
}

const gatesInOrder = Object.keys(GATES) as Gate[]

function gatesThatRefuse(tree: Tree): readonly Gate[] {
  return gatesInOrder.filter((gate) => ASKED[gate]?.some((rule) => refuses(rule, tree)))
}

/** A rule that falls over what has lost its form refuses nothing. */
function refuses(rule: PlainRule, tree: Tree): boolean {
  try {
    return rule.check(tree).wrong.length > 0
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    return false
  }
}
