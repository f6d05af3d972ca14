import { describe, expect, test } from 'vitest'
import { listOf, mistakesIn } from '../broken/killed-by-gate.ts'
import type { Refusal } from '../broken/refusals.ts'
import { type Files, parseFile } from '../src/files.ts'
import { type Leaf, leavesOf } from '../src/leaves.ts'
import { treeOf } from '../src/manifests.ts'
import type { PlainRule } from '../src/rule.ts'
import { mutationRules } from '../src/rules/mutation.ts'

const MANIFESTS = {
  'istio-config/kustomization.yaml': 'resources: [rules.yaml]\n',
  'istio-config/rules.yaml':
    'kind: PeerAuthentication\nmetadata: {name: strict, namespace: shop}\nspec: {mtls: {mode: STRICT}}\n',
}
const MUTANT =
  '- {id: plain, target: PeerAuthentication shop/strict, delete: true, via: live, kills: [mtls.strict]}\n'
const PROOF = "proof(\n  'mtls.strict',\n  { manifests: [] }, async () => {})\n"

function filesOf(texts: Readonly<Record<string, string>>): Files {
  return new Map(Object.entries(texts).map(([path, text]) => [path, parseFile(path, text)]))
}

/** What G14 finds. @param evidence path below the project's folder → text. */
function found(evidence: Readonly<Record<string, string>>): readonly string[] {
  const tree = treeOf({ files: filesOf(MANIFESTS), evidence: filesOf(evidence) })
  return mutationRules.flatMap((rule) =>
    (rule as PlainRule).check(tree).wrong.map(({ what }) => what),
  )
}

describe('a leaf is guarded', () => {
  const leaf = 'PeerAuthentication shop/strict: {/spec/mtls/mode:'
  test.each([
    ['by a mutant', { 'e2e/mutants/rules.yaml': MUTANT }],
    ['by the gate', { 'e2e/mutants/gate.yaml': `${leaf} [G6]}` }],
    ['by a reason', { 'e2e/mutants/unproven.yaml': `${leaf} no lab has two clusters}` }],
  ])('%s', (_by, evidence) => {
    expect(found(evidence)).toEqual([])
  })

  test('or it is told', () => {
    expect(found({})).toEqual(['PeerAuthentication shop/strict /spec/mtls/mode has no killer'])
  })

  test('by nothing that cannot be read', () => {
    expect(found({ 'e2e/mutants/gate.yaml': `${leaf} [G15]}` })).toEqual([
      'PeerAuthentication shop/strict /spec/mtls/mode has no killer',
      expect.stringMatching(/^e2e\/mutants\/gate\.yaml: .* must be one of G1, /),
    ])
  })
})

describe('proofs and mutants', () => {
  const both = { 'e2e/mutants/rules.yaml': MUTANT, 'e2e/proofs/mtls.test.ts': PROOF }

  test('name each other', () => {
    expect(found(both)).toEqual([])
  })

  test('need a reason where a proof has no mutant, and no reason where it has one', () => {
    const second = { 'e2e/proofs/more.test.ts': "proof('mtls.more', {}, run)\n" }
    const listed = (name: string) => ({
      'e2e/mutants/witnesses-only.yaml': `${name}: a promise of no field of its own\n`,
    })
    expect(found({ ...both, ...second })).toEqual([
      'the proof mtls.more has no mutant and no line in e2e/mutants/witnesses-only.yaml',
    ])
    expect(found({ ...both, ...second, ...listed('mtls.more') })).toEqual([])
    expect(found({ ...both, ...listed('mtls.strict') })).toEqual([
      'e2e/mutants/witnesses-only.yaml: mtls.strict has a mutant',
    ])
  })

  test('are those that the marked part of the document names, and no other part', () => {
    const document = (text: string) => ({ ...both, 'docs/mesh.md': text })
    expect(found(document('`mtls.gone` and `index.yaml`'))).toEqual([])
    const table =
      '<!-- proofs -->\n`mtls.gone` `mtls.gone.too` `a.yaml` `k8s/a.yaml`\n<!-- /proofs -->'
    expect(found(document(table))).toEqual([
      'docs/mesh.md names mtls.gone, which is no proof',
      'docs/mesh.md names mtls.gone.too, which is no proof',
    ])
  })
})

describe('the list of what the gate kills', () => {
  const [leaf] = leavesOf(filesOf(MANIFESTS)) as [Leaf]
  const told = (refusal: Omit<Refusal, 'leaf'>, list: string): readonly string[] => {
    const evidence = filesOf({ 'e2e/mutants/gate.yaml': list })
    return mistakesIn({ files: filesOf(MANIFESTS), evidence }, [{ leaf, ...refusal }])
  }

  test('is read as it is written', () => {
    const refusal: Omit<Refusal, 'leaf'> = { gates: ['G6', 'G13'], passed: [] }
    expect(told(refusal, listOf([{ leaf, ...refusal }]))).toEqual([])
  })

  test.each<[string, Omit<Refusal, 'leaf'>, string]>([
    ['has what passes', { gates: ['G6'], passed: ['removed'] }, 'not refused: removed; '],
    ['has other gates', { gates: ['G7'], passed: [] }, 'refused by G7; '],
  ])('is wrong where it %s', (_what, refusal, says) => {
    const list = listOf([{ leaf, gates: ['G6'], passed: [] }])
    expect(told(refusal, list)).toEqual([
      `${leaf.id}: ${says}e2e/mutants/gate.yaml says G6: node gate/broken/leaves.ts --write`,
    ])
  })

  test('is wrong where it lacks what is refused, and has nothing that is refused by half', () => {
    expect(told({ gates: ['G6'], passed: [] }, '')).toEqual([
      `${leaf.id}: refused by G6; e2e/mutants/gate.yaml says nothing: node gate/broken/leaves.ts --write`,
    ])
    expect(listOf([{ leaf, gates: ['G6'], passed: ['changed'] }])).not.toContain(leaf.target)
  })
})
