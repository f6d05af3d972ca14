import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { withPart } from '@oms/report/markdown'
import { describe, expect, it } from 'vitest'
import { tableOfProofs } from '../table.ts'
import { GREEN, MUTANTS, NOT_RUN, RED, RUN } from './invented.ts'

const ROOT = join(import.meta.dirname, '../../..')
const BIOME = join(ROOT, 'node_modules/@biomejs/biome/bin/biome')
const MARKED = '# Title\n\n<!-- proofs -->\n\n<!-- /proofs -->\n\nmore\n'

/** What biome makes of it. */
function formatted(markdown: string): string {
  return execFileSync(process.execPath, [BIOME, 'format', '--stdin-file-path=docs/mesh.md'], {
    cwd: ROOT,
    input: markdown,
    encoding: 'utf8',
  })
}

describe('the table of docs/mesh.md', () => {
  it('has a row a proof, sorted by name, with its manifests, who witnesses it and how many mutants it notices', () => {
    const lines = tableOfProofs(RUN, MUTANTS).split('\n')
    expect(lines.map((line) => line.split(/ *(?<!\\)\| */).slice(1, -1)).slice(2)).toEqual([
      [
        'Kiali draws order_service \\| payment \\<-> \\*all\\*',
        '`kiali.graph`',
        '`k8s/observability/kiali.yaml`',
        'not run: no Kiali here',
        '0',
      ],
      [
        'of 160 calls at once 10 are refused',
        '`pool.limits`',
        '`destinationrule-circuit-breaker.yaml`',
        'ledger',
        '1',
      ],
      [
        'three 503s in a row do not reach the caller',
        '`retry.transient`',
        '`virtualservice-retry-timeout.yaml`, `destinationrule-circuit-breaker.yaml`',
        'envoy, ledger',
        '1',
      ],
    ])
  })

  it('is as biome formats it, whatever the promises contain', () => {
    const promises = [
      'a_b _c_ __d__ *e* **f** `g` [h](i) [j] <k> &amp; & \\ \\| | ~l~ # m - n',
      '日本 한국 ✓ ✗ … – ≤ 🙂 e\u0301',
      '* is the first, and\nthe second line',
      '',
    ]
    const proofs = [
      ...RUN.proofs,
      ...promises.map((promise, index) => ({
        ...GREEN,
        name: `any.${index}`,
        promise,
      })),
    ]
    const markdown = withPart(MARKED, 'proofs', tableOfProofs({ ...RUN, proofs }, MUTANTS))
    expect(formatted(markdown)).toBe(markdown)
    const empty = withPart(MARKED, 'proofs', tableOfProofs({ ...RUN, proofs: [] }))
    expect(formatted(empty)).toBe(empty)
  })

  it('is the same after a run with other numbers, in another order', () => {
    const other = (proof: typeof GREEN) => ({
      ...proof,
      durationMs: proof.durationMs + 17,
      witnesses: proof.witnesses.map((witness) => ({ ...witness, seen: 99, expected: '99' })),
    })
    const again = {
      ...RUN,
      startedAt: '2027-01-01T00:00:00.000Z',
      durationMs: 1,
      proofs: [NOT_RUN, other(RED), other(GREEN)],
    }
    expect(tableOfProofs(again, [...MUTANTS].reverse())).toBe(tableOfProofs(RUN, MUTANTS))
  })
})
