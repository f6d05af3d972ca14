/** What counts as a mutant's death; the cluster is invented and has nothing of the mutant's target. */
import type { Mutant } from '@oms/gate/mutants'
import { beforeEach, expect, test, vi } from 'vitest'
import type { Mesh } from '../cluster/mesh.ts'
import { underTrial } from '../cluster/mutation.ts'
import { createTrial } from '../mutants/trial.ts'
import type { Body, Proof } from '../proof.ts'
import type { MutantResult } from '../result.ts'

const { mesh, read } = vi.hoisted(() => {
  const read = vi.fn<() => Promise<undefined>>()
  return { read, mesh: { api: { read }, capabilities: {}, end: async () => undefined } }
})
vi.mock('../cluster/mesh.ts', () => ({ openMesh: async () => ({ begin: () => mesh }) }))

const TARGET = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'order-management' } }
const MUTANT: Mutant = {
  id: 'no-namespace',
  manifest: 'apps/namespace.yaml',
  target: 'Namespace order-management',
  via: 'live',
  kills: ['namespace.there'],
  touches: [],
}

beforeEach(() => void read.mockReset().mockResolvedValue(undefined))

async function outcomeOf(
  body: Body,
  needs: Proof['needs'] = [],
): Promise<Pick<MutantResult, 'outcome' | 'reason'>> {
  const proof: Proof = {
    name: 'namespace.there',
    promise: '',
    manifests: [],
    fields: [],
    needs,
    body,
  }
  const trial = createTrial({
    proofs: new Map([[proof.name, proof]]),
    begin: () => mesh as unknown as Mesh,
    forget: async () => undefined,
    settled: async () => undefined,
  })
  const { outcome, reason = '' } = await trial.run(MUTANT)
  return { outcome, reason }
}

/** What two witnesses see of the target: 1, and 0 under trial. */
function targets(): number {
  return underTrial([TARGET]).length
}

const seeing =
  (count: () => number): Body =>
  async (_mesh, saw) => {
    saw('kubernetes', 'asked', 1, 1)
    saw('kubernetes', 'found', count(), 1)
  }

test('it is killed where a witness sees it, and it alone', async () => {
  expect(await outcomeOf(seeing(targets))).toEqual({
    outcome: 'killed',
    reason: 'namespace.there: kubernetes  found: seen 0, expected 1',
  })
})

test.each<[string, Body, string]>([
  ['nothing sees it', seeing(() => 1), 'namespace.there stayed green'],
  [
    'the proof breaks before a witness saw it',
    async (mesh, saw) => {
      if (targets() === 0) throw new Error('no probe')
      await seeing(targets)(mesh, saw)
    },
    'namespace.there broke: no probe',
  ],
  [
    'the proof is red without it, too',
    seeing(() => 0),
    'namespace.there is red without it: kubernetes  found: seen 0, expected 1',
  ],
])('it survives where %s', async (_when, body, reason) => {
  expect(await outcomeOf(body)).toEqual({ outcome: 'survived', reason })
})

test('it survives where the proof stays red after it', async () => {
  let wasSeen = false
  const sticky = seeing(() => {
    wasSeen ||= targets() === 0
    return wasSeen ? 0 : 1
  })
  expect(await outcomeOf(sticky)).toEqual({
    outcome: 'survived',
    reason: 'namespace.there stayed red without it: kubernetes  found: seen 0, expected 1',
  })
})

test('it survives where it could not be put on the cluster', async () => {
  read.mockRejectedValue(new Error('the API server is gone'))
  expect(await outcomeOf(seeing(targets))).toEqual({
    outcome: 'survived',
    reason: 'it could not be tried: the API server is gone',
  })
})

test('it does not run where the cluster lacks what the proof needs', async () => {
  expect(await outcomeOf(seeing(targets), ['argocd'])).toEqual({
    outcome: 'not run',
    reason: 'namespace.there: there is no Argo CD',
  })
})
