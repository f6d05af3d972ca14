/** The mutants there are, the proofs that kill them, and what was found of them before. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type Evidence, evidenceOf, readEvidence } from '@oms/gate/evidence'
import { type Files, readFiles } from '@oms/gate/files'
import type { Mutant } from '@oms/gate/mutants'
import { ROOT } from '@oms/lab/folders'
import { ProofsError } from '../cluster/preflight.ts'
import { STATE_DIR } from '../cluster/target.ts'
import { PROOFS, type Proof } from '../proof.ts'
import type { MutantResult } from '../result.ts'

export interface Known {
  readonly files: Files
  readonly evidence: Evidence
  readonly proofs: ReadonlyMap<string, Proof>
  /** A proof → the text of its file. */
  readonly texts: ReadonlyMap<string, string>
}

/** @throws ProofsError where a list of mutants is not well-formed. */
export async function readKnown(): Promise<Known> {
  const folder = join(ROOT, 'e2e/proofs')
  const texts = new Map<string, string>()
  for (const file of readdirSync(folder).filter((each) => each.endsWith('.test.ts'))) {
    const before = PROOFS.length
    await import(join(folder, file))
    const text = readFileSync(join(folder, file), 'utf8')
    for (const { name } of PROOFS.slice(before)) texts.set(name, text)
  }
  const files = readFiles(join(ROOT, 'k8s'))
  const evidence = evidenceOf(files, readEvidence(ROOT))
  if (evidence.wrong.length > 0)
    throw new ProofsError(
      `The lists in e2e/mutants cannot be read:\n${evidence.wrong.map(({ what }) => `- ${what}`).join('\n')}`,
    )
  return { files, evidence, proofs: new Map(PROOFS.map((proof) => [proof.name, proof])), texts }
}

export interface Selection {
  /** Ids, or their beginnings; none: all. */
  readonly ids: readonly string[]
  /** `2/3`: the second of three parts. */
  readonly shard?: string | undefined
  /** Of manifests that differ from this commit's. */
  readonly changedSince?: string | undefined
}

/** Those of one proof after each other: they share what was green before. @throws ProofsError */
export function select(
  mutants: readonly Mutant[],
  { ids, shard, changedSince }: Selection,
): readonly Mutant[] {
  const unknown = ids.filter((id) => !mutants.some((mutant) => mutant.id.startsWith(id)))
  if (unknown.length > 0) throw new ProofsError(`There is no mutant ${unknown.join(', ')}.`)
  const changed = changedSince === undefined ? undefined : changedFiles(changedSince)
  const wanted = mutants.filter(
    ({ id, manifest }) =>
      (ids.length === 0 || ids.some((each) => id.startsWith(each))) &&
      (changed === undefined ||
        changed.has(`k8s/${manifest}`) ||
        changed.has(`e2e/mutants/${basename(manifest)}`)),
  )
  const sorted = wanted.toSorted((a, b) => orderOf(a).localeCompare(orderOf(b)))
  if (shard === undefined) return sorted
  const [part, parts] = partsIn(shard)
  const [from, to] = [part - 1, part].map((n) => Math.round((n * sorted.length) / parts))
  return sorted.slice(from, to)
}

function orderOf({ kills, id }: Mutant): string {
  return `${kills.join()} ${id}`
}

function partsIn(shard: string): readonly [number, number] {
  const [, part, parts] = /^([1-9]\d*)\/([1-9]\d*)$/.exec(shard) ?? []
  if (part === undefined || Number(part) > Number(parts))
    throw new ProofsError('--shard is a part and their number, as 2/3.')
  return [Number(part), Number(parts)]
}

function changedFiles(since: string): ReadonlySet<string> {
  try {
    const said = execFileSync('git', ['diff', '--name-only', since], {
      cwd: ROOT,
      encoding: 'utf8',
    })
    return new Set(said.trim().split('\n'))
  } catch {
    throw new ProofsError(`git knows no commit ${since} here (--changed-since).`)
  }
}

/** What all proofs are made of, and trials. */
const SHARED_FILES = ['e2e/authz-matrix.ts', 'e2e/proofs/proof.ts']
const SHARED_FOLDERS = ['e2e/proofs/cluster', 'e2e/proofs/mutants', 'e2e/probe']
const RESULTS = join(STATE_DIR, 'mutants.json')

interface Kept {
  /** Of the mutant, its manifest and its proofs. */
  readonly key: string
  readonly result: MutantResult
}

export interface Results {
  /** What was found of the same mutant, manifest and proofs before. */
  before(mutant: Mutant): MutantResult | undefined
  keep(mutant: Mutant, result: MutantResult): void
}

export function openResults({ files, texts }: Known): Results {
  const kept = new Map<string, Kept>(
    existsSync(RESULTS)
      ? (JSON.parse(readFileSync(RESULTS, 'utf8')) as Kept[]).map((each) => [each.result.id, each])
      : [],
  )
  const inFolders = SHARED_FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, folder))
      .filter((name) => /\.(ts|mjs)$/.test(name))
      .sort()
      .map((name) => join(folder, name)),
  )
  const shared = [...SHARED_FILES, ...inFolders].map((file) =>
    readFileSync(join(ROOT, file), 'utf8'),
  )
  const keyOf = (mutant: Mutant): string =>
    createHash('sha256')
      .update(
        JSON.stringify([
          mutant,
          files.get(mutant.manifest)?.text,
          mutant.kills.map((name) => texts.get(name)),
          shared,
        ]),
      )
      .digest('hex')
  return {
    before(mutant) {
      const found = kept.get(mutant.id)
      return found?.key === keyOf(mutant) ? found.result : undefined
    },
    keep(mutant, result) {
      kept.set(mutant.id, { key: keyOf(mutant), result })
      writeFileSync(RESULTS, JSON.stringify([...kept.values()], undefined, 1))
    },
  }
}
