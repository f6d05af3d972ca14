/** The table of docs/mesh.md: a row a proof. No number of a run stands in it, so that it changes with a proof alone. */
import { markdownTable } from '@oms/report/markdown'
import type { MutantResult, ProofRun } from './result.ts'

const COLUMNS = ['Promise', 'Proof', 'Fields', 'Witnesses', 'Mutants'] as const

/** Of a run without red proofs: those have not heard all of their witnesses. As biome formats it. */
export function tableOfProofs(run: ProofRun, mutants: readonly MutantResult[] = []): string {
  const rows = [...run.proofs]
    .sort((a, b) => compare(a.name, b.name))
    .map(({ name, promise, fields, outcome, witnesses }) => [
      prose(promise),
      code(name),
      list(fields),
      outcome === 'not run' ? 'not run' : prose(witnessesOf(witnesses)),
      list(
        mutants
          .filter(({ kills }) => kills.includes(name))
          .map(({ id }) => id)
          .sort(compare),
      ),
    ])
  return markdownTable(COLUMNS, rows)
}

/** `ledger: tries of the order; envoy: retries`, each once, in the order of the proof. */
function witnessesOf(witnesses: ProofRun['proofs'][number]['witnesses']): string {
  return [...new Set(witnesses.map(({ source, what }) => `${source}: ${what}`))].join('; ')
}

/** The same in every locale. */
function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

function list(names: readonly string[]): string {
  return names.map(code).join(', ')
}

/** A cell ends at a `|`, in code as well. */
function code(text: string): string {
  const inner = oneLine(text).replaceAll('|', '\\|')
  const fence = inner.includes('`') ? '``' : '`'
  const space = /^`|`$/.test(inner) ? ' ' : ''
  return [fence, space, inner, space, fence].join('')
}

function prose(text: string): string {
  return oneLine(text)
    .replace(/[\\`*<[|]|(?<!\w)_|_(?!\w)/g, '\\$&')
    .replace(/&(?=#?\w+;)/g, '\\&')
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}
