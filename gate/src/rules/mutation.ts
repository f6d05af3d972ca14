/** G14: no field of the mesh without something that notices when it changes, no promise without a proof. */
import {
  DOCUMENT,
  type Evidence,
  evidenceOf,
  KILLED_BY_GATE,
  UNPROVEN,
  WITNESSES_ONLY,
} from '../evidence.ts'
import { leavesOf } from '../leaves.ts'
import type { Tree } from '../manifests.ts'
import { MUTANTS } from '../mutants.ts'
import { type Checked, inTree, type Rule, type Wrong } from '../rule.ts'
import { isKilled, isSurvivor, type Killers, scoreOf } from '../score.ts'

const WRITE = 'node gate/broken/leaves.ts --write'

interface Read {
  readonly evidence: Evidence
  readonly killers: readonly Killers[]
}

function read({ files, evidence: written }: Tree): Read {
  const evidence = evidenceOf(files, written)
  return { evidence, killers: scoreOf(leavesOf(files), evidence.mutants, evidence).killers }
}

/** A line of a list about a leaf that is not there, or that needs none. */
function staleIn({ evidence: { killedByGate, unproven }, killers }: Read): readonly Wrong[] {
  const byId = new Map(killers.map((each) => [each.leaf.id, each]))
  const gone = (path: string, ids: Iterable<string>): readonly Wrong[] =>
    [...ids]
      .filter((id) => !byId.has(id))
      .map((id) => ({ where: path, what: `${path}: ${id} is no leaf` }))
  return [
    ...gone(KILLED_BY_GATE, killedByGate.keys()),
    ...gone(UNPROVEN, unproven.keys()),
    ...killers
      .filter((each) => each.unproven !== undefined && isKilled(each))
      .map(({ leaf }) => ({ where: UNPROVEN, what: `${UNPROVEN}: ${leaf.id} is killed` })),
  ]
}

/** Who names a proof, and where. */
function namedIn({ mutants, witnessesOnly, documented }: Evidence): readonly Named[] {
  return [
    ...mutants.flatMap(({ id, kills }) =>
      kills.map((proof) => ({ where: MUTANTS, who: `the mutant ${id}`, proof })),
    ),
    ...[...witnessesOnly.keys()].map((proof) => ({
      where: WITNESSES_ONLY,
      who: WITNESSES_ONLY,
      proof,
    })),
    ...[...documented].map((proof) => ({ where: DOCUMENT, who: DOCUMENT, proof })),
  ]
}

interface Named {
  readonly where: string
  readonly who: string
  readonly proof: string
}

function unnamedIn({ mutants, witnessesOnly, proofs }: Evidence): readonly Wrong[] {
  const killed = new Set(mutants.flatMap(({ kills }) => kills))
  return [...proofs].flatMap((proof) => {
    const isListed = witnessesOnly.has(proof)
    if (killed.has(proof) !== isListed) return []
    const what = isListed
      ? `${WITNESSES_ONLY}: ${proof} has a mutant`
      : `the proof ${proof} has no mutant and no line in ${WITNESSES_ONLY}`
    return [{ where: 'e2e/proofs', what }]
  })
}

export const mutationRules: readonly Rule[] = [
  inTree({
    gate: 'G14',
    name: 'every field of the mesh has something that notices when it changes',
    why: 'A value that nobody misses is a promise that nobody keeps: it is lost in a merge, and everything stays green.',
    mend: `A mutant in e2e/mutants that turns a proof red, a rule of this gate (then ${WRITE}), or a line with the reason in ${UNPROVEN}; or delete the field.`,
    subjects: (tree) => read(tree).killers,
    wrong: (each) =>
      isSurvivor(each)
        ? [{ where: each.leaf.manifest, what: `${each.leaf.id} has no killer` }]
        : [],
  }),
  {
    gate: 'G14',
    name: 'mutants, proofs and lists name each other, and what is there',
    why: 'A mutant of a field that has moved kills nothing, a proof that no mutant turns red may be green whatever happens.',
    mend: `Mend the name; a line of ${KILLED_BY_GATE} is written by ${WRITE}.`,
    check(tree): Checked {
      const all = read(tree)
      const { evidence } = all
      // Until the first proof is written, mutants wait for theirs.
      const named = evidence.proofs.size === 0 ? [] : namedIn(evidence)
      const missing = named
        .filter(({ proof }) => !evidence.proofs.has(proof))
        .map(({ where, who, proof }) => ({
          where,
          what: `${who} names ${proof}, which is no proof`,
        }))
      return {
        subjects:
          evidence.mutants.length +
          evidence.killedByGate.size +
          evidence.unproven.size +
          evidence.proofs.size +
          named.length,
        wrong: [...evidence.wrong, ...staleIn(all), ...missing, ...unnamedIn(evidence)],
      }
    },
  },
]
