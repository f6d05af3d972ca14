/** The table of docs/mesh.md: a row a proof. No number of a run stands in it, so that it changes with a proof alone. */
import { markdownTable } from '@oms/report/markdown'
import type { MutantResult, ProofResult, ProofRun } from './result.ts'

const COLUMNS = ['Promise', 'Proof', 'Manifests', 'Witnesses', 'Mutants'] as const
/** Files of this folder are named without it, as in the rest of the document. */
const FOLDER = 'k8s/istio-config/'

/** Of a run without red proofs: those have not heard all of their witnesses. As biome formats it. */
export function tableOfProofs(run: ProofRun, mutants: readonly MutantResult[] = []): string {
  const rows = [...run.proofs]
    .sort((a, b) => compare(a.name, b.name))
    .map((proof) => [
      prose(proof.promise),
      code(proof.name),
      proof.manifests.map((file) => code(file.replace(FOLDER, ''))).join(', '),
      prose(witnessesOf(proof)),
      String(mutants.filter(({ kills }) => kills.includes(proof.name)).length),
    ])
  return markdownTable(COLUMNS, rows)
}

/** `envoy, ledger`, or why there are none. */
function witnessesOf({ outcome, reason, witnesses }: ProofResult): string {
  if (outcome === 'not run') return `not run: ${reason}`
  return [...new Set(witnesses.map(({ source }) => source))].sort(compare).join(', ')
}

/** The same in every locale. */
function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

function code(text: string): string {
  return `\`${text}\``
}

function prose(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/[\\`*<[|]|(?<!\w)_|_(?!\w)/g, '\\$&')
    .replace(/&(?=#?\w+;)/g, '\\&')
}
