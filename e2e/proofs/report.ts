/** A run of the proofs as a document, and both on the disk: proofs.json, proofs.html. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Block, ReportDocument, Section } from '@oms/report/document'
import { renderHtml } from '@oms/report/html'
import { entryOf, linkTo, mutantTable, reasonOf, summaryOf, witnessTable } from './report-blocks.ts'
import type { MutantResult, ProofResult, ProofRun } from './result.ts'
import { countOf, countsInWords, durationInWords, timeInWords, toJson } from './words.ts'

/** Of the leaves below `spec`: so many are killed by each; `unproven` stand outside of `leaves`. */
export interface Score {
  readonly leaves: number
  readonly live: number
  readonly admission: number
  readonly gate: number
  /** As `Kiali default spec.external_services`. */
  readonly unproven: readonly string[]
}

export interface Mutation {
  readonly mutants?: readonly MutantResult[]
  readonly score?: Score
}

/** Gives the path of the page. What stood in the folder by these names is replaced. */
export function writeReport(folder: string, run: ProofRun, mutation: Mutation = {}): string {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'proofs.json'), `${toJson({ ...run, ...mutation }, 2)}\n`)
  const page = join(folder, 'proofs.html')
  writeFileSync(page, renderHtml(toDocument(run, mutation)))
  return page
}

export function toDocument(run: ProofRun, { mutants = [], score }: Mutation = {}): ReportDocument {
  return {
    title: 'Proofs of the mesh',
    subtitle: `${run.cluster}, ${timeInWords(run.startedAt)}, ${durationInWords(run.durationMs)}`,
    verdict: verdictOf(run.proofs, mutants),
    facts: [
      ...Object.entries(run.versions),
      ...(score ? [['Leaves killed', scoreInWords(score)] as const] : []),
      ...(mutants.length > 0 ? [['Mutants', mutantsInWords(mutants)] as const] : []),
      ...capabilities(run),
    ],
    sections: [
      ...redProofs(run.proofs),
      ...survivors(mutants),
      ...notRun(run.proofs),
      ...unproven(score),
      ...manifests(run.proofs, mutants),
      ...otherMutants(run.proofs, mutants),
    ],
  }
}

function verdictOf(
  proofs: readonly ProofResult[],
  mutants: readonly MutantResult[],
): ReportDocument['verdict'] {
  const survived = mutants.filter(({ outcome }) => outcome === 'survived').length
  const text = `${countsInWords(proofs)}${survived > 0 ? `; mutants survived: ${survived}` : ''}`
  if (countOf(proofs, 'red') > 0 || survived > 0) return { text, tone: 'bad' }
  // What proved nothing is no success.
  if (countOf(proofs, 'green') === 0) return { text, tone: 'bad' }
  return { text, tone: countOf(proofs, 'not run') > 0 ? 'warn' : 'good' }
}

/** Rounded down: 100 % is all of them. */
function scoreInWords({ leaves, live, admission, gate, unproven }: Score): string {
  const killed = live + admission + gate
  const percent = leaves === 0 ? 0 : Math.floor((killed * 1_000) / leaves) / 10
  return `${killed} of ${leaves} (${percent} %): live ${live}, admission ${admission}, gate ${gate}; unproven here: ${unproven.length}`
}

function mutantsInWords(mutants: readonly MutantResult[]): string {
  return (['killed', 'survived', 'not run'] as const)
    .map((state) => `${mutants.filter(({ outcome }) => outcome === state).length} ${state}`)
    .join(', ')
}

function capabilities({ capabilities }: ProofRun): (readonly [string, string])[] {
  return [['The cluster has', true] as const, ['It lacks', false] as const]
    .map(([label, wanted]) => {
      const names = Object.entries(capabilities).filter(([, has]) => has === wanted)
      return [label, names.map(([name]) => name).join(', ')] as const
    })
    .filter(([, names]) => names !== '')
}

function redProofs(proofs: readonly ProofResult[]): Section[] {
  const red = proofs.filter(({ outcome }) => outcome === 'red')
  return sectionOf('Red', red, () => [
    {
      kind: 'entries',
      entries: red.map((proof) => ({
        tone: 'bad',
        summary: summaryOf(proof),
        note: durationInWords(proof.durationMs),
        open: true,
        blocks: [
          ...reasonOf(proof),
          ...witnessTable(proof.witnesses.filter(({ holds }) => !holds)),
          { kind: 'paragraph', text: [linkTo(proof.name, 'all of it')] },
        ],
      })),
    },
  ])
}

function survivors(mutants: readonly MutantResult[]): Section[] {
  const survived = mutants.filter(({ outcome }) => outcome === 'survived')
  return sectionOf('Mutants that survived', survived, () => mutantTable(survived))
}

function notRun(proofs: readonly ProofResult[]): Section[] {
  const left = proofs.filter(({ outcome }) => outcome === 'not run')
  return sectionOf('Not run', left, () => [
    {
      kind: 'table',
      columns: [{ title: 'Proof' }, { title: 'Promise' }, { title: 'Why it did not run' }],
      rows: left.map(({ name, promise, reason }) => [linkTo(name), promise, reason ?? '']),
    },
  ])
}

function unproven(score: Score | undefined): Section[] {
  const leaves = score?.unproven ?? []
  return sectionOf('Unproven here', leaves, () => [
    { kind: 'preformatted', text: leaves.join('\n') },
  ])
}

/** A proof of several manifests stands in full below the first, and as a link below the others. */
function manifests(proofs: readonly ProofResult[], mutants: readonly MutantResult[]): Section[] {
  const names = [...new Set(proofs.flatMap(({ manifests }) => manifests))].sort()
  const without = proofs.filter(({ manifests }) => manifests.length === 0)
  const inFull = (below: readonly ProofResult[]): Block[] =>
    below.length === 0
      ? []
      : [{ kind: 'entries', entries: below.map((proof) => entryOf(proof, mutants)) }]
  return [
    ...names.map((name) => {
      const links = proofs.filter(({ manifests }) => manifests.slice(1).includes(name))
      return {
        title: name,
        blocks: [
          ...inFull(proofs.filter(({ manifests }) => manifests[0] === name)),
          ...(links.length === 0 ? [] : [alsoBy(links)]),
        ],
      }
    }),
    ...sectionOf('Of no manifest', without, () => inFull(without)),
  ]
}

function alsoBy(proofs: readonly ProofResult[]): Block {
  const links = proofs.flatMap(({ name }, index) => [index === 0 ? '' : ', ', linkTo(name)])
  return { kind: 'paragraph', text: ['Also proven by ', ...links] }
}

function otherMutants(proofs: readonly ProofResult[], mutants: readonly MutantResult[]): Section[] {
  const names = new Set(proofs.map(({ name }) => name))
  const others = mutants.filter(({ kills }) => !kills.some((name) => names.has(name)))
  return sectionOf('Mutants of admission, of the gate and of no proof here', others, () =>
    mutantTable(others),
  )
}

function sectionOf(
  title: string,
  subjects: readonly unknown[],
  blocks: () => readonly Block[],
): Section[] {
  return subjects.length === 0 ? [] : [{ title, blocks: blocks() }]
}
