/** A proof, its witnesses and its mutants as parts of the report. */
import type { Block, Entry, Line, Span, Tone } from '@oms/report/document'
import type { MutantResult, Outcome, ProofResult, Witness } from './result.ts'
import { durationInWords, seenInWords } from './words.ts'

const TONES: Readonly<Record<Outcome | MutantResult['outcome'], Tone>> = {
  green: 'good',
  red: 'bad',
  'not run': 'idle',
  killed: 'good',
  survived: 'bad',
}

export function entryOf(proof: ProofResult, mutants: readonly MutantResult[]): Entry {
  const { name, fields, outcome, witnesses, durationMs } = proof
  return {
    id: name,
    tone: TONES[outcome],
    summary: summaryOf(proof),
    note: outcome === 'not run' ? 'not run' : durationInWords(durationMs),
    blocks: [
      ...reasonOf(proof),
      ...(fields.length === 0 ? [] : [fieldTable(fields)]),
      ...witnessTable(witnesses),
      ...mutantTable(mutants.filter(({ kills }) => kills.includes(name))),
    ],
  }
}

export function summaryOf({ name, promise }: ProofResult): Line {
  return [{ text: name, mono: true }, ' ', promise]
}

export function reasonOf({ outcome, reason, atAssertion }: ProofResult): Block[] {
  if (outcome === 'green') return []
  const said = reason ?? 'no reason given'
  if (outcome === 'not run') return [{ kind: 'paragraph', text: `Not run: ${said}` }]
  const lead = atAssertion ? 'A witness did not say what was expected: ' : 'The proof broke: '
  return [
    {
      kind: 'paragraph',
      text: [
        { text: lead, tone: 'bad' },
        { text: said, mono: true },
      ],
    },
  ]
}

function fieldTable(fields: readonly string[]): Block {
  return {
    kind: 'table',
    columns: [{ title: 'Proves', mono: true }],
    rows: fields.map((field) => [field]),
  }
}

export function witnessTable(witnesses: readonly Witness[]): Block[] {
  if (witnesses.length === 0) return []
  return [
    {
      kind: 'table',
      columns: [
        { title: 'Witness' },
        { title: 'What' },
        { title: 'Seen', mono: true },
        { title: 'Expected', mono: true },
        { title: 'Agrees' },
      ],
      rows: witnesses.map((witness) => [
        witness.source,
        witness.what,
        seenInWords(witness),
        witness.expected,
        { text: witness.holds ? 'yes' : 'no', tone: witness.holds ? 'good' : 'bad' },
      ]),
    },
  ]
}

export function mutantTable(mutants: readonly MutantResult[]): Block[] {
  if (mutants.length === 0) return []
  return [
    {
      kind: 'table',
      columns: [
        { title: 'Mutant', mono: true },
        { title: 'Target', mono: true },
        { title: 'Change', mono: true },
        { title: 'Must be noticed by' },
        { title: 'Outcome' },
        { title: 'Took', mono: true, right: true },
      ],
      rows: mutants.map(({ id, target, change, via, kills, outcome, reason, durationMs }) => [
        id,
        target,
        change,
        [via, ...(kills.length > 0 ? [': ', { text: kills.join(', '), mono: true }] : [])],
        [{ text: outcome, tone: TONES[outcome] }, reason === undefined ? '' : `: ${reason}`],
        durationInWords(durationMs),
      ]),
    },
  ]
}

export function linkTo(name: string, text = name): Span {
  return { text, mono: text === name, href: `#${name}` }
}
