import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Block, Entry, Line, ReportDocument } from '@oms/report/document'
import { describe, expect, it, onTestFinished } from 'vitest'
import { toDocument, writeReport } from '../report.ts'
import type { MutantResult, ProofRun } from '../result.ts'
import { GREEN, MUTANTS, NOT_RUN, RED, RUN } from './invented.ts'

const SCORE = {
  leaves: 200,
  live: 150,
  admission: 29,
  gate: 20,
  unproven: ['Kiali default spec.a'],
}
const DOCUMENT = toDocument(RUN, { mutants: MUTANTS, score: SCORE })

function textOf(line: Line): string {
  return [line]
    .flat()
    .map((span) => (typeof span === 'string' ? span : span.text))
    .join('')
}

function blocksOf({ sections }: ReportDocument, title: string): readonly Block[] {
  const section = sections.find((one) => one.title === title)
  expect(section, title).toBeDefined()
  return section?.blocks ?? []
}

function entriesOf(blocks: readonly Block[]): readonly Entry[] {
  return blocks.flatMap((block) => (block.kind === 'entries' ? block.entries : []))
}

function rowsOf(blocks: readonly Block[], column: string): string[][] {
  return blocks.flatMap((block) =>
    block.kind === 'table' && block.columns.some(({ title }) => title === column)
      ? block.rows.map((row) => row.map(textOf))
      : [],
  )
}

describe('the report', () => {
  it('begins with what is red, open, with seen beside expected', () => {
    expect(DOCUMENT.sections.slice(0, 4).map(({ title }) => title)).toEqual([
      'Red',
      'Mutants that survived',
      'Not run',
      'Unproven here',
    ])
    const [red, ...others] = entriesOf(blocksOf(DOCUMENT, 'Red'))
    expect(others).toEqual([])
    expect(red).toMatchObject({ tone: 'bad', open: true, note: '1 min 1 s' })
    expect(rowsOf(red?.blocks ?? [], 'Seen')).toEqual([
      ['ledger', 'payment-service: tries of the order', '163', 'exactly 150', 'no'],
      ['ledger', 'payment-service: tries of the order', 'URX', 'UO', 'no'],
    ])
  })

  it('shows at once what did not run, and why', () => {
    expect(rowsOf(blocksOf(DOCUMENT, 'Not run'), 'Why it did not run')).toEqual([
      ['kiali.graph', NOT_RUN.promise, 'no Kiali here'],
    ])
  })

  it('says what was found in one line, bad where anything is red, survived or nothing was proven', () => {
    const verdict = (
      proofs: ProofRun['proofs'],
      mutants: readonly MutantResult[] = MUTANTS.slice(0, 1),
    ) => toDocument({ ...RUN, proofs }, { mutants }).verdict
    expect(DOCUMENT.verdict).toEqual({
      text: '1 green, 1 red, 1 not run; mutants survived: 1',
      tone: 'bad',
    })
    expect(verdict([GREEN])).toEqual({ text: '1 green, 0 red, 0 not run', tone: 'good' })
    expect(verdict([GREEN, NOT_RUN]).tone).toBe('warn')
    expect(verdict([GREEN, RED]).tone).toBe('bad')
    expect(verdict([GREEN], MUTANTS).tone).toBe('bad')
    expect(verdict([NOT_RUN]).tone).toBe('bad')
    expect(verdict([]).tone).toBe('bad')
  })

  it('says of what it is: cluster, time, versions, what the cluster has and lacks', () => {
    expect(DOCUMENT.subtitle).toBe('lab, 2026-01-02 03:04:05 UTC, 6 min 12 s')
    expect(DOCUMENT.facts).toEqual(
      expect.arrayContaining([
        ['Istio', '1.31.0'],
        ['Mutants', '2 killed, 1 survived, 0 not run'],
        ['The cluster has', 'istioStats'],
        ['It lacks', 'kiali'],
      ]),
    )
  })

  it('never rounds a score up to all', () => {
    const killed = (score: typeof SCORE) =>
      textOf(
        toDocument(RUN, { score }).facts.find(([label]) => label === 'Leaves killed')?.[1] ?? '',
      )
    expect(killed(SCORE)).toBe(
      '199 of 200 (99.5 %): live 150, admission 29, gate 20; unproven here: 1',
    )
    expect(killed({ ...SCORE, leaves: 20_000, live: 19_950 })).toContain('19999 of 20000 (99.9 %)')
    expect(killed({ ...SCORE, live: 151 })).toContain('(100 %)')
  })

  it('puts a proof in full below its first manifest, with its mutants, and a link below the others', () => {
    const [first = '', second = ''] = GREEN.manifests
    const [entry] = entriesOf(blocksOf(DOCUMENT, first))
    expect(entry).toMatchObject({ id: 'retry.transient', tone: 'good', note: '4.2 s' })
    expect(rowsOf(entry?.blocks ?? [], 'Seen')).toHaveLength(2)
    expect(rowsOf(entry?.blocks ?? [], 'Mutant')).toEqual([
      [
        'retry-attempts-2',
        'VirtualService order-management/payment-service-retry',
        '/spec/http/0/retries/attempts = 2',
        'live: retry.transient',
        'killed',
        '9.0 s',
      ],
    ])
    const below = blocksOf(DOCUMENT, second)
    expect(entriesOf(below).map(({ id }) => id)).toEqual(['pool.limits'])
    expect(JSON.stringify(below.at(-1))).toContain('#retry.transient')
  })

  it('loses neither a proof without manifest nor a mutant without proof', () => {
    const crash = { ...RED, name: 'e2e/proofs/a.test.ts', manifests: [] }
    const document = toDocument({ ...RUN, proofs: [crash] }, { mutants: MUTANTS })
    expect(entriesOf(blocksOf(document, 'Of no manifest')).map(({ id }) => id)).toEqual([
      crash.name,
    ])
    expect(
      rowsOf(
        blocksOf(document, 'Mutants of admission, of the gate and of no proof here'),
        'Mutant',
      ).map(([id]) => id),
    ).toEqual(['retry-attempts-2', 'pool-200', 'typo'])
  })

  it('writes the page and the data beside it', () => {
    const folder = mkdtempSync(join(tmpdir(), 'proofs-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const witnesses = [{ ...GREEN.witnesses[0], seen: 2n ** 64n } as (typeof GREEN.witnesses)[0]]
    const run = { ...RUN, proofs: [{ ...GREEN, witnesses }] }
    const page = writeReport(join(folder, 'new'), run, { mutants: MUTANTS })
    expect(readFileSync(page, 'utf8')).toContain('18446744073709551616')
    const data = JSON.parse(readFileSync(join(folder, 'new/proofs.json'), 'utf8'))
    expect(data).toMatchObject({ cluster: 'lab', mutants: [{ id: 'retry-attempts-2' }, {}, {}] })
  })
})
