import { join } from 'node:path'
import { ROOT } from '@oms/lab/folders'
import { describe, expect, test } from 'vitest'
import { type Break, set, unset } from '../broken/edits.ts'
import { ISTIO, PAYMENT_BREAKER } from '../broken/names.ts'
import { readEvidence } from '../src/evidence.ts'
import { readFiles } from '../src/files.ts'
import { ask, report } from '../src/gate.ts'
import { type ManifestSet, type Sources, type Tree, treeOf } from '../src/manifests.ts'

const SOURCES = { files: readFiles(join(ROOT, 'k8s')), evidence: readEvidence(ROOT) }

function changed(how: Break): Sources {
  return { ...SOURCES, files: how(SOURCES.files) }
}

async function told(tree: Tree): Promise<string> {
  return report(await ask(tree, undefined))
}

describe('the report', () => {
  test('has a line for each of G1 to G14, with what was asked and what could not be', async () => {
    const lines = (await told(treeOf(SOURCES))).split('\n')
    expect(lines).toHaveLength(14)
    expect(lines[5]).toMatch(/^G6 +literals +\d+ rules +\d+ checks {2}ok$/)
    expect(lines[2]).toMatch(/^G3 .* ok; 1 not run: pnpm lab build$/)
  })

  test('says what is wrong, why it matters and how to mend it', async () => {
    const broken = set(PAYMENT_BREAKER, '/spec/trafficPolicy/outlierDetection/interval', '60s')
    expect(await told(treeOf(changed(broken)))).toContain(`
G6: every DestinationRule of the namespace says all the limits again
  DestinationRule order-management/payment-service-circuit-breaker: spec.trafficPolicy.outlierDetection.interval is "60s", not "10s"
      in base
  Why it matters: Rules are never merged`)
  })

  test('says once what is wrong in many places', async () => {
    const tree = treeOf(changed(unset(PAYMENT_BREAKER, '/spec/trafficPolicy/retryBudget')))
    const [base] = tree.sets as [ManifestSet]
    const overlays = ['a', 'b', 'c', 'd'].map((name) => ({ ...base, name }))
    const text = await told({ ...tree, sets: [base, ...overlays] })
    expect(text.match(/retryBudget is missing/g)).toHaveLength(1)
    expect(text).toContain('in base, a, b and 2 more')
  })

  test('tells of a manifest that has lost its form, instead of falling over it', async () => {
    const text = await told(treeOf(changed(unset(ISTIO, '/spec/values'))))
    expect(text).toMatch(/a manifest has another form than this rule expects \(.*meshConfig/)
  })
})
