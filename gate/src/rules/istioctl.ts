/** G3: what istioctl itself finds wrong. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exec } from '@oms/lab/command'
import type { Tools } from '@oms/lab/tools'
import { stringify } from 'yaml'
import type { ManifestSet, Tree } from '../manifests.ts'
import { findObject } from '../objects.ts'
import type { Checked, Rule, Wrong } from '../rule.ts'

/** Groups whose objects istioctl validates. */
const ISTIO = /^(networking|security|telemetry|extensions)\.istio\.io\//

/** What the API server refuses or istiod's webhook does, and what only looks at several objects at once finds. */
async function check(set: ManifestSet, tools: Tools): Promise<readonly Wrong[]> {
  const dir = mkdtempSync(join(tmpdir(), 'oms-istioctl-'))
  const istioctl = tools.program('istio', 'istioctl')
  const write = (name: string, objects: readonly object[]): string => {
    writeFileSync(join(dir, name), objects.map((object) => stringify(object)).join('---\n'))
    return join(dir, name)
  }
  try {
    const istio = write(
      'istio.yaml',
      set.objects.filter(({ apiVersion }) => ISTIO.test(apiVersion)),
    )
    const all = write('all.yaml', set.objects)
    const mesh = write('mesh.yaml', [
      findObject(set, 'Istio default')?.['spec'].values.meshConfig ?? {},
    ])
    const [validated, analyzed] = await Promise.all([
      exec(istioctl, ['validate', '--filename', istio]),
      exec(istioctl, [
        'analyze',
        '--use-kube=false',
        '--all-namespaces',
        '--meshConfigFile',
        mesh,
        all,
      ]),
    ])
    return [
      ...wordsOf(validated.stdout + validated.stderr, istio),
      ...wordsOf(analyzed.stdout + analyzed.stderr, all),
    ].map((what) => ({ where: set.name, what }))
  } finally {
    rmSync(dir, { recursive: true })
  }
}

/** Of the lab's pinned Envoy; the annotation that says so is read by `analyze` alone. */
const ENVOY_FILTER = /^\* EnvoyFilter\/\S+: EnvoyFilter exposes internal implementation details/

/** That all is well, and what stands around its findings. */
const NO_FINDING =
  /^("the set" (is valid|has warnings:)|✔|Error: (\d+ errors? occurred:|Analyzers found issues)|See https:)/

function wordsOf(output: string, file: string): readonly string[] {
  return output
    .replaceAll(file, 'the set')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !NO_FINDING.test(line) && !ENVOY_FILTER.test(line))
}

async function checkAll({ sets }: Tree, tools: Tools): Promise<Checked> {
  const wrong = await Promise.all(sets.map((set) => check(set, tools)))
  return { subjects: sets.length, wrong: wrong.flat() }
}

export const istioctlRules: readonly Rule[] = [
  {
    gate: 'G3',
    name: 'istioctl validates and analyses every set without a word',
    why: 'It has istiod’s own checks: spaces in retryOn, a bare DENY, an expression that is no CEL, a selector that nothing has.',
    mend: 'Mend what it says; its codes (IST0101, …) are at https://istio.io/latest/docs/reference/config/analysis.',
    run: checkAll,
  },
]
