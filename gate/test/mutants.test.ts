import { describe, expect, test } from 'vitest'
import { parseFile } from '../src/files.ts'
import { leavesOf } from '../src/leaves.ts'
import { type Mutant, mutantsIn } from '../src/mutants.ts'
import { leavesKilledBy, scoreOf } from '../src/score.ts'

const FILES = new Map(
  Object.entries({
    'istio-config/kustomization.yaml': 'resources: [rules.yaml]\n',
    'istio-config/rules.yaml': `
kind: DestinationRule
metadata: {name: limits, namespace: shop}
spec: {host: a, trafficPolicy: {tcp: {max: 1}, http: {pending: 1, requests: 1}}}
---
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {mtls: {mode: STRICT}}
`,
    'overlays/lab/patched.yaml': 'kind: Sidecar\nmetadata: {name: patched, namespace: shop}\n',
  }).map(([path, text]) => [path, parseFile(path, text)]),
)
const LIMITS = 'DestinationRule shop/limits'
const STRICT = 'PeerAuthentication shop/strict'
const HOME = 'e2e/mutants/rules.yaml'

function read(text: string, path = HOME): ReturnType<typeof mutantsIn> {
  return mutantsIn(FILES, new Map([[path, parseFile(path, text)]]))
}

function killed(target: string, change: string): readonly string[] {
  const { mutants, wrong } = read(
    `- {id: a, target: ${target}, ${change}, via: live, kills: [a.b]}`,
  )
  expect(wrong).toEqual([])
  return leavesKilledBy(mutants[0] as Mutant, leavesOf(FILES)).map(({ pointer }) => pointer)
}

describe('a mutant kills', () => {
  test('the leaf that it replaces or removes', () => {
    const path = '/spec/trafficPolicy/http/pending'
    expect(killed(LIMITS, `patch: [{op: replace, path: ${path}, value: 2}]`)).toEqual([path])
    expect(killed(LIMITS, `patch: [{op: remove, path: ${path}}]`)).toEqual([path])
  })

  test('the only leaf of what it removes', () => {
    expect(killed(LIMITS, 'patch: [{op: remove, path: /spec/trafficPolicy/tcp}]')).toEqual([
      '/spec/trafficPolicy/tcp/max',
    ])
    expect(killed(STRICT, 'delete: true')).toEqual(['/spec/mtls/mode'])
  })

  test('none of many, for red says nothing about each', () => {
    expect(killed(LIMITS, 'patch: [{op: remove, path: /spec/trafficPolicy/http}]')).toEqual([])
    expect(killed(LIMITS, 'delete: true')).toEqual([])
  })

  test('none that it only stands beside, or that it has brought itself', () => {
    expect(killed(LIMITS, 'patch: [{op: add, path: /spec/trafficPolicy/tls, value: {}}]')).toEqual(
      [],
    )
    const brought =
      '{op: add, path: /spec/host, value: b}, {op: replace, path: /spec/host, value: c}'
    expect(killed(LIMITS, `patch: [${brought}]`)).toEqual([])
  })
})

describe('a file of mutants is refused', () => {
  const patch = 'patch: [{op: remove, path: /spec/host}]'
  const live = 'via: live, kills: [a.b]'
  test.each([
    [
      'a field that is none',
      `{id: a, target: ${LIMITS}, ${patch}, ${live}, expect: red}`,
      /expect is no field; there are id, target, patch/,
    ],
    [
      'an id in capitals',
      `{id: A, target: ${LIMITS}, ${patch}, ${live}}`,
      /\.id must match pattern/,
    ],
    [
      'an operation that is none',
      `{id: a, target: ${LIMITS}, patch: [{op: move, path: /spec}], ${live}}`,
      /op must be one of add, remove, replace, test/,
    ],
    [
      'neither patch nor delete',
      `{id: a, target: ${LIMITS}, ${live}}`,
      /either `patch` or `delete: true`/,
    ],
    [
      'a target of an overlay',
      `{id: a, target: Sidecar shop/patched, delete: true, ${live}}`,
      /there is no Sidecar shop\/patched in k8s/,
    ],
    [
      'a way that leads nowhere',
      `{id: a, target: ${LIMITS}, patch: [{op: remove, path: /spec/hots}], ${live}}`,
      /remove \/spec\/hots: it leads nowhere; pointers go by the manifest/,
    ],
    [
      'a patch that changes nothing',
      `{id: a, target: ${LIMITS}, patch: [{op: replace, path: /spec/host, value: a}], ${live}}`,
      /its patch changes nothing/,
    ],
    [
      'a replacement without a value',
      `{id: a, target: ${LIMITS}, patch: [{op: replace, path: /spec/host}], ${live}}`,
      /replace \/spec\/host needs a value/,
    ],
    [
      'live, and no proof',
      `{id: a, target: ${LIMITS}, ${patch}, via: live}`,
      /live, it has `kills`/,
    ],
    [
      'by admission, and no answer',
      `{id: a, target: ${LIMITS}, ${patch}, via: admission, kills: [a.b]}`,
      /by admission, it has `says`/,
    ],
    [
      'an answer that is no expression',
      `{id: a, target: ${LIMITS}, ${patch}, via: admission, says: "("}`,
      /no regular expression/,
    ],
  ])('%s', (_what, mutant, says) => {
    const { mutants, wrong } = read(`- ${mutant}`)
    expect(mutants).toEqual([])
    expect(wrong.map(({ what }) => what)).toContainEqual(expect.stringMatching(says))
  })

  test('two of one id, in whatever files', () => {
    const text = `- {id: a, target: ${STRICT}, delete: true, ${live}}`
    const written = [HOME, 'e2e/mutants/other.yaml'].map(
      (path) => [path, parseFile(path, text)] as const,
    )
    expect(mutantsIn(FILES, new Map(written)).wrong.map(({ what }) => what)).toEqual([
      'the mutant a: another mutant has this id: give it its own',
      'the mutant a: another mutant has this id: give it its own',
      'the mutant a: its target stands in istio-config/rules.yaml: move it to e2e/mutants/rules.yaml',
    ])
  })
})

test('the score counts each way by itself, and a leaf once', () => {
  const { mutants } = read(`
- {id: dead, target: ${STRICT}, delete: true, via: live, kills: [a.b]}
- {id: refused, target: ${STRICT}, patch: [{op: replace, path: /spec/mtls/mode, value: NO}], via: admission, says: no}
`)
  const { killers, totals } = scoreOf(leavesOf(FILES), mutants, {
    killedByGate: new Map([
      [`${STRICT} /spec/mtls/mode`, ['G6']],
      [`${LIMITS} /spec/host`, ['G7']],
    ]),
    unproven: new Map([[`${LIMITS} /spec/trafficPolicy/tcp/max`, 'no lab has so many callers']]),
  })
  expect(totals).toEqual({
    leaves: 5,
    live: 1,
    admission: 1,
    gate: 2,
    killed: 2,
    unproven: 1,
    survivors: 2,
  })
  expect(killers.at(-1)).toMatchObject({ live: ['dead'], admission: ['refused'], gate: ['G6'] })
})
